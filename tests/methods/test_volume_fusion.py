"""Volume fusion: which volumes are fused, how much of each is where, and the loss over it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.methods.volume_fusion import VolumeFusion, level_map, partners

from .conftest import CROP, build


def volumes(batch: int = 4) -> Tensor:
    return torch.rand(batch, 1, CROP, CROP, CROP, generator=torch.Generator().manual_seed(1))


def draws(batch: int = 4) -> Draws:
    return Draws.keyed("fused", samples=range(batch))


def fusion(**options: object) -> VolumeFusion:
    method = build("volume_fusion", **options)
    assert isinstance(method, VolumeFusion)
    return method


@pytest.mark.parametrize(("batch", "expected"), [(4, [1, 0, 3, 2]), (5, [1, 0, 3, 2, 0]), (2, [1, 0])])
def test_each_volume_is_fused_with_the_other_of_its_pair(batch: int, expected: list[int]) -> None:
    assert partners(torch.arange(batch)).tolist() == expected


def levels_by_numpy(generator: np.random.Generator) -> np.ndarray:
    """Ten to 39 boxes of 1 to 10 voxels a side, one after the other."""
    found = np.zeros((16,) * 3, int)
    for _ in range(generator.integers(10, 40)):
        side = generator.integers(1, 11, 3)
        first = [generator.integers(0, 17 - one) for one in side]
        found[tuple(slice(f, f + one) for f, one in zip(first, side, strict=True))] = generator.integers(1, 5)
    return found


def test_levels_are_boxes_whose_last_covers_the_earlier_ones() -> None:
    found = level_map((16,) * 3, draws(2000), 5).numpy()
    generator = np.random.default_rng(0)
    expected = np.stack([levels_by_numpy(generator) for _ in range(2000)])
    assert set(np.unique(found)) == {0, 1, 2, 3, 4}
    for measure in (
        lambda levels: np.array([(levels == level).mean() for level in range(5)]),
        lambda levels: np.array([(levels[:, 8] == 0).mean(), (levels[:, 0] == 0).mean()]),
        lambda levels: np.array([(levels == 0).mean((1, 2, 3)).std(), (np.diff(levels, axis=1) != 0).mean()]),
    ):
        np.testing.assert_allclose(measure(found), measure(expected), atol=0.02)


def test_what_is_seen_is_the_mixture_that_the_level_says() -> None:
    method, given, seen = fusion(), volumes(), []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.training_step(given, draws())
    levels = level_map((CROP,) * 3, draws(), 5).numpy()
    a, b = given[:, 0].numpy(), given[[1, 0, 3, 2], 0].numpy()
    expected = a + levels / 4 * (b - a)
    np.testing.assert_allclose(seen[0][:, 0].numpy(), expected, atol=1e-6)
    assert np.array_equal(seen[0][:, 0].numpy()[levels == 0], a[levels == 0])


@pytest.mark.parametrize("classes", [3, 5])
def test_the_loss_is_cross_entropy_and_dice_of_the_levels(classes: int) -> None:
    """In float64, class by class."""
    method, given, made = fusion(levels=classes), volumes(), []
    method.head.register_forward_hook(lambda *parts: made.append(parts[2]))
    loss = float(method.training_step(given, draws())["loss"].detach())
    logits = made[0].detach().double().numpy()
    levels = level_map((CROP,) * 3, draws(), classes).numpy()
    likely = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    entropies, dices = [], []
    for volume in range(4):
        for level in range(classes):
            p, g = likely[volume, level], levels[volume] == level
            entropies.append(-np.log(p[g]).sum())
            dices.append((2 * (p * g).sum() + 1) / ((p**2).sum() + g.sum() + 1))
    expected = np.sum(entropies) / levels.size + 1 - np.mean(dices)
    assert loss == pytest.approx(expected, rel=1e-5)
