"""The three tasks of Swin UNETR's pretext, each against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.methods.swin_pretext import SwinPretext, Views

from .conftest import CROP, build

BATCH = 3


def volumes() -> Tensor:
    return torch.rand(BATCH, 1, CROP, CROP, CROP, generator=torch.Generator().manual_seed(1))


def draws() -> Draws:
    return Draws.keyed("views", samples=range(BATCH))


def swin(**options: object) -> SwinPretext:
    method = build("swin_pretext", **options)
    assert isinstance(method, SwinPretext)
    return method


def views(method: SwinPretext) -> tuple[Views, Views]:
    streams = draws()
    return method.view(volumes(), streams), method.view(volumes(), streams)


def test_views_are_turned_about_z_and_cut_out_after_it() -> None:
    method = swin()
    classes = set()
    for view in views(method):
        for given, turned, seen, quarter in zip(volumes(), view.turned, view.cut_out, view.classes, strict=True):
            classes.add(int(quarter))
            assert np.array_equal(turned[0].numpy(), np.rot90(given[0].numpy(), int(quarter), (1, 2)))
            assert 0.3 <= (turned != seen).float().mean() <= 0.3 + 4**-3
    assert len(classes) > 1
    first, second = views(method)
    assert not torch.equal(first.cut_out, second.cut_out)


def test_rotations_are_four_and_equally_likely() -> None:
    many = swin().view(torch.rand(1000, 1, 2, 2, 2), Draws.keyed("many", samples=range(1000)))
    counts = many.classes.bincount(minlength=4)
    assert len(counts) == 4
    assert counts.min() > 200


def log_softmax(scores: np.ndarray, one: int) -> float:
    return float(scores[one] - np.log(np.exp(scores).sum()))


def test_the_loss_is_the_weighted_sum_of_the_three() -> None:
    """In float64, pair by pair and class by class."""
    method = swin(inpainting_weight=2.0, contrast_weight=3.0, rotation_weight=5.0, temperature=0.2)
    both = views(method)
    features = [method.backbone(view.cut_out) for view in both]
    restored = [method.restoration(found.local).detach().double().numpy() for found in features]
    pooled = [found.global_.mean((2, 3, 4)) for found in features]
    inpainting = np.mean([np.abs(out - view.turned.numpy()) for out, view in zip(restored, both, strict=True)])
    rotation = []
    for view, given in zip(both, pooled, strict=True):
        logits = method.classifier(given).detach().double().numpy()
        rotation += [-log_softmax(logits[sample], int(view.classes[sample])) for sample in range(BATCH)]
    z = torch.cat([method.embedding(given) for given in pooled]).detach().double().numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    contrast = []
    for i in range(2 * BATCH):
        others = [k for k in range(2 * BATCH) if k != i]
        likeness = np.array([z[i] @ z[k] / 0.2 for k in others])
        contrast.append(-log_softmax(likeness, others.index((i + BATCH) % (2 * BATCH))))
    found = method.training_step(volumes(), draws())
    assert float(found["inpainting"]) == pytest.approx(inpainting, rel=1e-4)
    assert float(found["rotation"]) == pytest.approx(np.mean(rotation), rel=1e-4)
    assert float(found["contrast"]) == pytest.approx(np.mean(contrast), rel=1e-4)
    expected = 2 * inpainting + 3 * np.mean(contrast) + 5 * np.mean(rotation)
    assert float(found["loss"].detach()) == pytest.approx(expected, rel=1e-4)


def test_the_contrast_is_in_float32_under_autocast() -> None:
    method, embedded = swin(temperature=0.05), []
    method.embedding.register_forward_hook(lambda *parts: embedded.append(parts[2].detach()))
    with torch.autocast("cpu", torch.bfloat16):
        found = method.training_step(volumes(), draws())["contrast"]
    z = torch.nn.functional.normalize(torch.cat(embedded).double(), dim=1)
    likeness = (z @ z.T / 0.05).fill_diagonal_(-torch.inf)
    partners = torch.arange(2 * BATCH).roll(BATCH)
    assert float(found) == pytest.approx(float(torch.nn.functional.cross_entropy(likeness, partners)), rel=1e-5)


@pytest.mark.parametrize("task", ["inpainting", "contrast", "rotation"])
def test_each_task_alone_reaches_the_encoder(task: str) -> None:
    weights = {f"{name}_weight": float(name == task) for name in ("inpainting", "contrast", "rotation")}
    method = swin(**weights)
    method.training_step(volumes(), draws())["loss"].backward()
    gradient = method.backbone.down4.maxpool_conv[1].double_conv[3].weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert (method.restoration[3].weight.grad.abs().sum() > 0) == (task == "inpainting")
