import itertools

import pytest
import torch

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.fields import smooth_noise
from ssl_bench.data.synthetic.warps import FAMILY, Variation, anatomy_points

SHAPE, SPACING, CENTRE = (40, 48, 32), (4.0, 4.0, 6.0), (100.0, 110.0, 120.0)
STILL = Variation(1e-6, 0.0, 0.0, 0.0)
LIVELY = Variation(displacement_mm=8.0, rotation_deg=8.0, scale=0.12, shift_mm=14.0)
FAMILIES = sorted(set(FAMILY.values()))


def draws(samples: range = range(8)) -> Draws:
    return Draws.keyed("warps", samples=samples)


def jacobian_determinant(points: torch.Tensor) -> torch.Tensor:
    corner = points[:, :-1, :-1, :-1]
    steps = (points[:, 1:, :-1, :-1], points[:, :-1, 1:, :-1], points[:, :-1, :-1, 1:])
    return torch.linalg.det(torch.stack([(s - corner) / e for s, e in zip(steps, SPACING, strict=True)], -1))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_map_is_invertible(family: str) -> None:
    points = anatomy_points(family, draws(range(12)), SHAPE, SPACING, CENTRE, LIVELY)
    determinant = jacobian_determinant(points)
    assert determinant.min() > 0.1
    assert determinant.max() < 6


@pytest.mark.parametrize("family", FAMILIES)
def test_flow_moves_by_millimetres(family: str) -> None:
    still = anatomy_points(family, draws(), SHAPE, SPACING, CENTRE, STILL)
    moved = anatomy_points(family, draws(), SHAPE, SPACING, CENTRE, Variation(8.0, 0.0, 0.0, 0.0))
    rms = (moved - still).square().sum(-1).mean((1, 2, 3)).sqrt()
    assert rms.min() > 3.5
    assert rms.max() < 11


def test_without_variation_voxels_show_themselves() -> None:
    points = anatomy_points("grid", draws(range(1)), SHAPE, SPACING, CENTRE, STILL)[0]
    assert torch.allclose(points.mean((0, 1, 2)), torch.tensor(CENTRE), atol=1e-3)
    assert torch.allclose(points[1, 1, 1] - points[0, 0, 0], torch.tensor(SPACING), atol=1e-3)


def test_size_shows_more_of_the_anatomy() -> None:
    small = anatomy_points("grid", draws(range(1)), SHAPE, SPACING, CENTRE, Variation(1e-6, 0.0, 0.0, 0.0, size=0.5))[0]
    assert torch.allclose(small[1, 1, 1] - small[0, 0, 0], 2 * torch.tensor(SPACING), atol=1e-3)


def test_families_differ_for_the_same_draws() -> None:
    maps = [anatomy_points(family, draws(range(1)), SHAPE, SPACING, CENTRE, LIVELY) for family in FAMILIES]
    assert all((a - b).abs().max() > 2 for a, b in itertools.combinations(maps, 2))
    assert len({FAMILY[split] for split in ("corpus", "train", "validation", "test")}) == 4


def test_smooth_noise_has_unit_variance_and_no_fine_structure() -> None:
    noise = smooth_noise(draws(), (48, 48, 48), (2.0, 2.0, 2.0), 24.0)
    assert noise.std().item() == pytest.approx(1, abs=0.15)
    assert noise.diff(dim=-1).abs().mean() < 0.25
