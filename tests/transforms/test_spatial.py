from __future__ import annotations

import math

import pytest
import torch

from ssl_bench.transforms import spatial
from ssl_bench.transforms.spatial import SpatialSettings, random_spatial
from tests.transforms.support import assert_contract, streams, volumes

STILL = SpatialSettings(rotation=0, scale=0, shear=0, translation=0, elastic_strength=0)
SIZES = [(12, 12, 12), (9, 14, 11)]


@pytest.mark.parametrize("size", SIZES)
def test_spatial_augmentation_keeps_the_contract_of_transforms(size: tuple[int, int, int]) -> None:
    assert_contract(lambda v, d: random_spatial([v], d)[0], size)


@pytest.mark.parametrize("size", [*SIZES, (32, 20, 26)])
def test_without_any_range_nothing_moves_not_even_half_a_voxel(size: tuple[int, int, int]) -> None:
    given = volumes(2, *size)
    torch.testing.assert_close(random_spatial([given], streams(2), STILL)[0], given, atol=1e-5, rtol=0)


def test_several_tensors_move_by_the_same_transform() -> None:
    first, second = volumes(2, 12, 13, 14), volumes(2, 12, 13, 14, channels=2)
    a, b, c = random_spatial([first, second, first], streams(2))
    assert torch.equal(a, c)
    assert b.shape == second.shape
    torch.testing.assert_close(b, random_spatial([second], streams(2))[0])


def test_tensors_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        random_spatial([volumes(1, 8, 8, 8), volumes(1, 8, 8, 9)], streams(1))


def test_the_affine_stays_inside_its_published_ranges() -> None:
    def drawn(**ranges: float) -> torch.Tensor:
        settings = SpatialSettings(**{"rotation": 0, "scale": 0, "shear": 0, "translation": 0, **ranges})
        return spatial._random_affine((40, 60, 80), streams(2000), settings)

    scale = drawn(scale=0.25).diagonal(dim1=1, dim2=2)
    assert (scale.min().item(), scale.max().item()) == pytest.approx((0.75, 1.25), abs=0.01)
    shift = drawn(translation=0.05)[:, :, 3].abs().amax(0)
    assert shift.tolist() == pytest.approx([4, 3, 2], rel=0.02)  # x, y, z
    shear = drawn(shear=math.pi / 18)[:, 0, 1]
    assert shear.abs().max().item() == pytest.approx(math.tan(math.pi / 18), rel=0.02)
    turn = drawn(rotation=math.pi / 9)[:, 2, 0].neg().asin()
    assert turn.abs().max().item() == pytest.approx(math.pi / 9, rel=0.02)


@pytest.mark.parametrize(
    ("side", "sigma", "expected"),
    [(128, 10, 0.00274), (128, 11.5, 0.00222), (128, 13, 0.00185), (48, 11.5, 0.00222 * 48 / 128)],
)
def test_elastic_displacements_are_as_strong_as_published_relative_to_the_crop(
    side: int, sigma: float, expected: float
) -> None:
    settings = SpatialSettings(elastic_sigma=(sigma, sigma))
    inner = slice(side // 5, -(side // 5))
    samples = range(4) if side == 128 else range(24)
    fields = [spatial._random_elastic((side,) * 3, streams([s]), settings) for s in samples]
    strengths = []
    for s in samples:
        draws = streams([s])
        draws.uniform()
        draws.uniform(3, side, side, side)
        strengths.append(draws.uniform(high=512.0).item())
    ratios = [
        f[..., inner, inner, inner].square().mean().sqrt().item() / a for f, a in zip(fields, strengths, strict=True)
    ]
    assert sum(ratios) / len(ratios) == pytest.approx(expected, rel=0.12)
