"""SimCLR and SimSiam against their papers' formulas, written with nothing but torch; gradients included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.method import Method
from ssl_bench.api.rng import Draws
from ssl_bench.api.settings import load_preset, preset_names
from ssl_bench.methods.simclr import SimCLR
from ssl_bench.methods.simsiam import SimSiam
from ssl_bench.transforms.views import region_of_views, two_views, view_size

from .conftest import CROP, build

BATCH = 4


def volumes() -> Tensor:
    return torch.rand(BATCH, 1, CROP, CROP, CROP, generator=torch.Generator().manual_seed(1))


def draws() -> Draws:
    return Draws.keyed("views", samples=range(BATCH))


def views() -> tuple[Tensor, Tensor]:
    return two_views(volumes(), draws(), view_size(CROP, 16))


def loss_and_gradients(method: Method, loss: Tensor) -> list[Tensor]:
    learning = [p for name, p in method.named_parameters() if not name.startswith(("backbone.up", "target"))]
    return [loss.detach(), *torch.autograd.grad(loss, learning)]


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize(
    "name", ["simclr", "simsiam", "byol", "deepcluster", "moco", "dense_contrast", "barlow_twins", "vicreg", "dino"]
)
def test_views_are_taken_out_of_a_larger_window_in_every_preset(name: str, preset: str) -> None:
    crop = load_preset(preset).pretraining.crop
    method = build(name, crop=crop)
    assert method.region == region_of_views(crop, 16) >= 4 / 3 * view_size(crop, 16)[0]
    assert view_size(crop, 16)[0] >= 32


@pytest.mark.parametrize("temperature", [0.5, 0.1])
def test_simclr_is_nt_xent_over_both_views_of_all_volumes(temperature: float) -> None:
    method = build("simclr", temperature=temperature)
    assert isinstance(method, SimCLR)
    z = F.normalize(torch.cat([method.project(view) for view in views()]), dim=1)
    similarity = z @ z.T / temperature
    likeness = similarity.exp()
    terms = []
    for i in range(2 * BATCH):
        others = sum(likeness[i, k] for k in range(2 * BATCH) if k != i)
        terms.append(-torch.log(likeness[i, (i + BATCH) % (2 * BATCH)] / others))
    expected = loss_and_gradients(method, torch.stack(terms).mean())
    found = loss_and_gradients(method, method.training_step(volumes(), draws())["loss"])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_the_loss_of_simclr_is_in_float32_under_autocast() -> None:
    method, projected = build("simclr", temperature=0.05), []
    assert isinstance(method, SimCLR)
    method.projection.register_forward_hook(lambda *parts: projected.append(parts[2].detach()))
    with torch.autocast("cpu", torch.bfloat16):
        found = method.training_step(volumes(), draws())["loss"]
    z = F.normalize(torch.cat(projected).double(), dim=1)
    likeness = (z @ z.T / 0.05).fill_diagonal_(-torch.inf)
    expected = F.cross_entropy(likeness, torch.arange(2 * BATCH).roll(BATCH))
    assert float(found.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_simsiam_predicts_each_view_from_the_other_whose_gradient_is_stopped() -> None:
    method = build("simsiam")
    assert isinstance(method, SimSiam)
    first, second = (method.project(view) for view in views())
    cosines = [
        F.cosine_similarity(method.prediction(one), other.detach()).mean()
        for one, other in ((first, second), (second, first))
    ]
    expected = loss_and_gradients(method, -(cosines[0] + cosines[1]) / 2)
    found = loss_and_gradients(method, method.training_step(volumes(), draws())["loss"])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
