"""GEMINI: the objective of both directions, and whom its similarity of features teaches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import map_coordinates
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.methods.gemini import GEMINI, damped, stays_inside
from ssl_bench.nn.warp import warp

from .conftest import build

SIDE = 16


def gemini(**options: object) -> GEMINI:
    method = build("gemini", SIDE, **options)
    assert isinstance(method, GEMINI)
    return method


def pair() -> tuple[Tensor, Tensor, Tensor]:
    """A corrupted A, A, and B, smooth enough to be matched."""
    noise = torch.rand(6, 1, 6, 6, 6, generator=torch.Generator().manual_seed(1))
    return F.interpolate(noise, (SIDE,) * 3, mode="trilinear").chunk(3)


def moved(volume: np.ndarray, deformation: np.ndarray) -> np.ndarray:
    """(c, D, H, W) at p + u(p), trilinear, zeros outside."""
    at = np.indices(volume.shape[1:]) + deformation
    return np.stack([map_coordinates(one, at, order=1, mode="grid-constant") for one in volume])


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Squared, in the 9^3 voxels around each voxel, zeros outside, window by window."""
    one, other = (np.pad(each, 4) for each in (one, other))
    found = np.zeros((SIDE,) * 3)
    for place in np.ndindex(found.shape):
        window = tuple(slice(p, p + 9) for p in place)
        i, j = one[window] - one[window].mean(), other[window] - other[window].mean()
        found[place] = (i * j).sum() ** 2 / ((i * i).sum() * (j * j).sum() + 1e-5)
    return found


def test_the_loss_is_the_released_objective() -> None:
    """In float64 from features and deformations: each direction's three terms, and 100 times the restoration."""
    method, (corrupted, a, b) = gemini(initial_std=0.3), pair()
    found = method.losses(corrupted, a, b)
    of_c, of_a, of_b = method.backbone(torch.cat([corrupted, a, b])).local.chunk(3)
    ncc = semantic = smoothness = 0.0
    for moving, fixed, of_moving, of_fixed in ((a, b, of_a, of_b), (b, a, of_b, of_a)):
        flows = method.deformer(torch.cat([of_moving, of_fixed], 1)).detach().double().numpy()
        appearance, cosines, slopes = [], [], []
        for v, flow in enumerate(flows):
            at = np.indices((SIDE,) * 3) + flow
            inside = ((np.round(at) >= 0) & (np.round(at) <= SIDE - 1)).all(0)
            assert 0 < inside.mean() < 1
            image = moved(moving[v].double().numpy(), flow)[0]
            appearance.append(correlation(image, fixed[v, 0].double().numpy())[inside].mean())
            one, other = moved(of_moving[v].detach().double().numpy(), flow), of_fixed[v].detach().double().numpy()
            cosine = (one * other).sum(0) / (np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0) + 1e-12)
            cosines.append(cosine[inside].mean())
            slopes.append(np.mean([(np.diff(flow, axis=axis) ** 2).mean() for axis in (1, 2, 3)]))
        ncc += 1 - np.mean(appearance)
        semantic += 1 - np.mean(cosines)
        smoothness += np.mean(slopes)
    restoration = ((method.restoration(of_c).detach() - a) ** 2).mean().item()
    expected = {"ncc": ncc, "semantic": semantic, "smoothness": smoothness, "restoration": restoration}
    assert {name: float(found[name]) for name in expected} == pytest.approx(expected, rel=1e-3)
    whole = ncc + 0.8 * semantic + 0.4 * smoothness + 100 * restoration
    assert float(found["loss"].detach()) == pytest.approx(whole, rel=1e-3)


def test_features_learn_a_tenth_of_what_the_deformation_learns_from_their_similarity() -> None:
    """The gradients of the two terms that the released code adds up, each with one side stopped."""
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.rand(1, 8, 6, 6, 6, generator=generator).requires_grad_() for _ in range(2))
    flow = torch.rand(1, 3, 6, 6, 6, generator=generator).requires_grad_()

    def similarity(moving: Tensor, fixed: Tensor, by: Tensor) -> Tensor:
        return F.cosine_similarity(warp(moving, by), fixed, dim=1).mean()

    released = 0.1 * similarity(one, other, flow.detach()) + similarity(one.detach(), other.detach(), flow)
    expected = torch.autograd.grad(released, (one, other, flow))
    found = torch.autograd.grad(similarity(damped(one), damped(other), flow), (one, other, flow))
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-4)


def test_only_what_comes_from_inside_is_compared() -> None:
    flow = torch.zeros(1, 3, 4, 4, 4)
    flow[0, 0, 3], flow[0, 2, :, :, 0] = 0.6, -0.4
    inside = stays_inside(flow)[0, 0]
    assert not inside[3].any()
    assert inside[:3].all()


@pytest.mark.parametrize("part", ["backbone.inc", "deformer", "restoration"])
def test_every_part_learns(part: str) -> None:
    method = gemini()
    volumes = torch.cat(pair()[1:])
    method.training_step(volumes, Draws.keyed("pairs", samples=range(len(volumes))))["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.get_submodule(part).parameters())
