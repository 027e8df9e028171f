from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_bench.transforms.intensity import bezier_mapping, nonlinear_intensity
from tests.transforms.support import assert_contract, streams, volumes

KNOTS = torch.tensor([0, 0.1, 0.25, 0.5, 0.75, 1]).unsqueeze(0)
POINTS = torch.tensor([[[0.25, 0.75], [0.5, 0.25]]])


def test_rising_curve_of_the_reference_points() -> None:
    expected = torch.tensor([[0, 0.238184, 0.419264, 0.538244, 0.699340, 1]])
    torch.testing.assert_close(bezier_mapping(KNOTS, POINTS, torch.tensor([False])), expected, atol=1e-5, rtol=0)


def test_falling_curve_of_the_reference_points() -> None:
    expected = torch.tensor([[1, 0.761816, 0.580736, 0.461756, 0.300660, 0]])
    torch.testing.assert_close(bezier_mapping(KNOTS, POINTS, torch.tensor([True])), expected, atol=1e-5, rtol=0)


def test_random_curves_equal_dense_interpolation_in_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    points, values = torch.rand(40, 2, 2, generator=generator), torch.rand(40, 500, generator=generator)
    inverted = torch.arange(40) % 2 == 1
    t = np.linspace(0, 1, 100_000) ** 2 * (3 - 2 * np.linspace(0, 1, 100_000))
    for mapped, v, p, falls in zip(
        bezier_mapping(values, points, inverted), values, points.double().numpy(), inverted, strict=True
    ):
        x, y = (3 * t * (1 - t) ** 2 * p[0, i] + 3 * t**2 * (1 - t) * p[1, i] + t**3 for i in (0, 1))
        expected = np.interp(v.double().numpy(), x, y[::-1] if falls else y)
        np.testing.assert_allclose(mapped, expected, atol=1e-5)


@pytest.mark.parametrize("corner", [(0.0, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 1.0, 0.0), (1, 1, 1, 1)])
def test_curves_are_monotone_from_end_to_end_even_where_vertical(corner: tuple[float, ...]) -> None:
    values = torch.linspace(0, 1, 10_001).expand(2, -1).contiguous()
    points = torch.tensor(corner).view(1, 2, 2).expand(2, 2, 2)
    rising, falling = bezier_mapping(values, points, torch.tensor([False, True]))
    assert (rising.diff() >= -1e-6).all()
    assert (falling.diff() <= 1e-6).all()
    assert [rising[0].item(), rising[-1].item()] == pytest.approx([0, 1], abs=1e-5)
    assert [falling[0].item(), falling[-1].item()] == pytest.approx([1, 0], abs=1e-5)


def test_values_outside_the_unit_interval_take_the_end_values() -> None:
    mapped = bezier_mapping(torch.tensor([[-0.5, 1.5]]), POINTS, torch.tensor([False]))
    assert mapped.tolist() == [[0, 1]]


@pytest.mark.parametrize("size", [(9, 8, 7), (16, 16, 16)])
def test_intensity_keeps_the_contract_of_transforms(size: tuple[int, int, int]) -> None:
    assert_contract(lambda v, d: nonlinear_intensity(v, d, 0.9, 0.5), size)


def test_samples_are_mapped_and_inverted_as_often_as_asked() -> None:
    given = torch.linspace(0, 1, 64).view(1, 1, 4, 4, 4).expand(2000, -1, -1, -1, -1)
    mapped = nonlinear_intensity(given, streams(2000), 0.9, 0.5)
    changed = (mapped != given).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.9, abs=0.03)
    ends = mapped.flatten(1)[changed]
    assert (ends[:, 0] > ends[:, -1]).float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert torch.equal(nonlinear_intensity(volumes(2, 4, 4, 4), streams(2), 0.0, 0.0), volumes(2, 4, 4, 4))


def test_every_channel_has_a_curve_of_its_own_and_all_of_a_sample_are_mapped_or_none() -> None:
    given = volumes(300, 6, 6, 6).expand(-1, 3, -1, -1, -1)
    mapped = nonlinear_intensity(given, streams(300), 0.5, 0.0)
    changed = (mapped != given).flatten(2).any(2)
    assert changed.all(1).sum() + (~changed).all(1).sum() == 300
    assert 0.4 < changed.float().mean() < 0.6
    assert (mapped[changed[:, 0], 0] != mapped[changed[:, 0], 1]).flatten(1).any(1).all()
