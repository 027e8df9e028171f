"""Barlow Twins and VICReg against their papers' formulas in float64, and what keeps them from collapse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.methods.barlow_twins import BarlowTwins
from ssl_bench.methods.vicreg import VICReg
from ssl_bench.transforms.views import two_views, view_size

from .conftest import CROP, build

BATCH, OUTPUT = 8, 5
Array = NDArray[np.float64]


def volumes() -> Tensor:
    return torch.rand(BATCH, 1, 44, 44, 44, generator=torch.Generator().manual_seed(1))


def draws() -> Draws:
    return Draws.keyed("views", samples=range(BATCH))


def embeddings(shape: tuple[int, int] = (BATCH, OUTPUT)) -> tuple[Tensor, Tensor]:
    """Of two views that are not quite alike, float64."""
    generator = torch.Generator().manual_seed(2)
    one = torch.randn(*shape, generator=generator).double() * torch.tensor([0.2, 1, 3, 0.5, 1]).double() + 0.3
    return one, 0.8 * one + 0.3 * torch.randn(*shape, generator=generator).double()


def barlow_loss(one: Array, other: Array, weight: float) -> float:
    """Eq. 1 and 2 of Barlow Twins: features are centred over the batch, as its text says before Eq. 2."""
    count, width = one.shape
    a, b = one - one.mean(axis=0), other - other.mean(axis=0)
    loss = 0.0
    for i in range(width):
        for j in range(width):
            above = sum(a[n, i] * b[n, j] for n in range(count))
            below = np.sqrt(sum(a[n, i] ** 2 for n in range(count))) * np.sqrt(sum(b[n, j] ** 2 for n in range(count)))
            loss += (1 - above / below) ** 2 if i == j else weight * (above / below) ** 2
    return loss


def vicreg_loss(one: Array, other: Array, weights: tuple[float, float, float]) -> float:
    """Eq. 1 to 6 of VICReg with the mean squared error of its Algorithm 1."""
    count, width = one.shape
    invariance = sum((one[n, j] - other[n, j]) ** 2 for n in range(count) for j in range(width)) / (count * width)
    variance = covariance = 0.0
    for z in (one, other):
        centred = z - sum(z) / count
        for i in range(width):
            column = centred[:, i]
            variance += max(0.0, 1 - np.sqrt(sum(column**2) / (count - 1) + 1e-4)) / width
            for j in range(width):
                if i != j:
                    covariance += (sum(column * centred[:, j]) / (count - 1)) ** 2 / width
    return weights[0] * invariance + weights[1] * variance + weights[2] * covariance


def barlow(**options: object) -> BarlowTwins:
    method = build("barlow_twins", **{"hidden": 16, "output": OUTPUT, **options})
    assert isinstance(method, BarlowTwins)
    return method


def vicreg(**options: object) -> VICReg:
    method = build("vicreg", **{"hidden": 16, "output": OUTPUT, **options})
    assert isinstance(method, VICReg)
    return method


@pytest.mark.parametrize("weight", [0.005, 0.3])
def test_barlow_twins_is_the_papers_sum(weight: float, monkeypatch: pytest.MonkeyPatch) -> None:
    method = barlow(redundancy_weight=weight)
    given = list(embeddings())
    monkeypatch.setattr(method, "project", lambda view: given.pop(0))
    found = method.training_step(volumes(), draws())["loss"]
    # PyTorch's batch normalisation adds 1e-5 to variances, of which the least here is 0.01.
    expected = barlow_loss(*(z.numpy() for z in embeddings()), weight)
    assert float(found) == pytest.approx(expected, rel=2e-3)


def test_vicreg_is_the_papers_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = (3.0, 5.0, 0.7)
    names = ("invariance_weight", "variance_weight", "covariance_weight")
    method = vicreg(**dict(zip(names, weights, strict=True)))
    given = list(embeddings())
    monkeypatch.setattr(method, "expand", lambda view: given.pop(0))
    found = method.training_step(volumes(), draws())["loss"]
    assert float(found) == pytest.approx(vicreg_loss(*(z.numpy() for z in embeddings()), weights), rel=1e-12)


@pytest.mark.parametrize("name", ["barlow_twins", "vicreg"])
def test_both_views_go_through_encoder_and_head_and_both_learn(name: str) -> None:
    """The gradient is that of the formula, through both views."""
    method = build(name, hidden=16, output=OUTPUT)
    head = method.projection if isinstance(method, BarlowTwins) else method.expander  # type: ignore[union-attr]
    learning = [p for key, p in method.named_parameters() if not key.startswith("backbone.up")]
    found = torch.autograd.grad(method.training_step(volumes(), draws())["loss"], learning)
    one, other = (
        head(method.backbone.encode(view).mean(dim=(2, 3, 4)))
        for view in two_views(volumes(), draws(), view_size(CROP, 16))
    )
    if name == "vicreg":
        centred = [z - z.mean(dim=0) for z in (one, other)]
        squares = [(z.mT @ z / (BATCH - 1)).square() for z in centred]
        loss = (
            25 * (one - other).square().mean()
            + 25 * sum((1 - (z.square().sum(dim=0) / (BATCH - 1) + 1e-4).sqrt()).relu().mean() for z in centred)
            + sum(square.sum() - square.trace() for square in squares) / OUTPUT
        )
    else:
        a, b = ((z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + 1e-5).sqrt() for z in (one, other))
        correlation = a.mT @ b / BATCH
        off = correlation - torch.diag(correlation.diag())
        loss = (1 - correlation.diag()).square().sum() + 0.005 * off.square().sum()
    torch.testing.assert_close(found, torch.autograd.grad(loss, learning), atol=1e-4, rtol=1e-3)


def test_without_the_variance_a_constant_would_be_vicregs_best(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {}
    for weight in (25.0, 0.0):
        method = vicreg(variance_weight=weight)
        for name, given in (("constant", torch.ones(BATCH, OUTPUT)), ("spread", embeddings()[0].float())):
            monkeypatch.setattr(method, "expand", lambda view, given=given: given)
            losses[name, weight] = float(method.training_step(volumes(), draws())["loss"])
    assert losses["constant", 0.0] < losses["spread", 0.0]
    assert losses["spread", 25.0] < losses["constant", 25.0] == pytest.approx(50 * (1 - 0.01))


def test_features_that_repeat_each_other_cost_barlow_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    method, apart = barlow(redundancy_weight=0.1), torch.linalg.qr(torch.randn(BATCH, BATCH))[0]
    apart = (apart - apart.mean(dim=0))[:, :OUTPUT]
    losses = []
    for given in (apart, apart[:, :1].expand(-1, OUTPUT)):
        monkeypatch.setattr(method, "project", lambda view, given=given: given)
        losses.append(float(method.training_step(volumes(), draws())["loss"]))
    assert losses[1] == pytest.approx(0.1 * OUTPUT * (OUTPUT - 1), rel=1e-2)
    assert losses[0] < losses[1] / 2


@pytest.mark.parametrize(("batch", "width"), [(8, 128), (16, 128), (8, 32)])
def test_how_little_redundancy_a_small_batch_allows(batch: int, width: int) -> None:
    """docs/methods.md: with a diagonal of ones, the squares off it add up to width^2 / (batch - 1) - width at least.

    Reached by features that spread evenly over the batch - 1 dimensions that centred features of so many volumes have.
    """
    helmert = np.linalg.qr(np.column_stack([np.ones(batch), np.eye(batch)[:, : batch - 1]]))[0][:, 1:]
    angles = np.linalg.qr(np.random.default_rng(0).normal(size=(width, batch - 1)))[0]
    for _ in range(2000):  # rows of equal length, columns orthogonal: an even frame
        angles /= np.linalg.norm(angles, axis=1, keepdims=True)
        left, _, right = np.linalg.svd(angles, full_matrices=False)
        angles = left @ right
    features = helmert @ (angles / np.linalg.norm(angles, axis=1, keepdims=True)).T
    found = barlow_loss(features, features, 1.0)
    assert found == pytest.approx(width**2 / (batch - 1) - width, rel=1e-3)
