"""Shifts against their formulas, computed another way, and against what the case was."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from ssl_bench.api.cases import Case
from ssl_bench.api.shift import GRADES, SHIFTS, resolve_shifts, shifts_called
from ssl_bench.errors import UserError
from ssl_bench.shifts.cases import shifted
from ssl_bench.shifts.geometry import rotated
from ssl_bench.shifts.intensities import bias_field

SIZE = (24, 30, 28)


def blob(
    centre_mm: NDArray[np.float64], spacing: tuple[float, ...], size: tuple[int, ...] = SIZE
) -> NDArray[np.float32]:
    """A smooth ball whose centre lies `centre_mm` from that of the volume."""
    axes = [(np.arange(length) - (length - 1) / 2) * mm for length, mm in zip(SIZE, spacing, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return np.exp(-(((grid - centre_mm) / 3) ** 2).sum(-1)).astype(np.float32)


def case_of(channels: int = 1, spacing: tuple[float, float, float] = (1.5, 1.0, 1.2)) -> Case:
    generator = np.random.default_rng(3)
    image = ndimage.gaussian_filter(generator.random((channels, *SIZE)), (0, 2, 2, 2)).astype(np.float32)
    image = (image - image.min()) / (image.max() - image.min())
    label = (image[0] > 0.5).astype(np.uint8) + (image[0] > 0.7)
    return Case("case-1", image if channels > 1 else image[0], label, spacing)


def grey(value: float) -> Case:
    return Case("grey", np.full(SIZE, value, np.float32), 1, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("name", SHIFTS)
@pytest.mark.parametrize("channels", [1, 2])
def test_grade_0_gives_the_case_to_the_bit(name: str, channels: int) -> None:
    case = case_of(channels)
    found = shifted(case, SHIFTS[name], 0, seed=0)
    assert found.image.dtype == np.float32
    assert np.array_equal(found.image, case.image)
    assert np.array_equal(found.label, case.label)


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_is_drawn_by_seed_and_case_alone_and_keeps_the_form(name: str) -> None:
    case, shift = case_of(2), SHIFTS[name]
    once, again = shifted(case, shift, 2, seed=1), shifted(case, shift, 2, seed=1)
    assert np.array_equal(once.image, again.image)
    assert np.array_equal(once.label, again.label)
    assert once.image.shape == case.image.shape
    assert once.image.dtype == np.float32
    assert once.label.dtype == case.label.dtype  # type: ignore[union-attr]
    assert 0 <= once.image.min() <= once.image.max() <= 1
    assert not np.array_equal(once.image, case.image)
    if name in ("noise", "bias", "rotation"):
        others = shifted(replace(case, identifier="case-2"), shift, 2, seed=1), shifted(case, shift, 2, seed=2)
        assert not any(np.array_equal(once.image, other.image) for other in others)


@pytest.mark.parametrize("name", SHIFTS)
def test_each_grade_changes_more_than_the_one_before(name: str) -> None:
    case = case_of()
    changes = [np.abs(shifted(case, SHIFTS[name], grade, seed=0).image - case.image).mean() for grade in (0, *GRADES)]
    assert all(more > less for less, more in itertools.pairwise(changes))


@pytest.mark.parametrize("grade", GRADES)
def test_noise_has_the_declared_deviation(grade: int) -> None:
    found = shifted(grey(0.5), SHIFTS["noise"], grade, seed=0).image - np.float32(0.5)
    declared = SHIFTS["noise"].strengths[grade]
    assert found.std() == pytest.approx(declared, rel=0.015)
    assert abs(found.mean()) < 4 * declared / np.sqrt(found.size)
    # White: neighbours know nothing of each other.
    assert abs(np.corrcoef(found[1:].ravel(), found[:-1].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("grade", GRADES)
def test_a_bias_field_is_the_exponential_of_a_cubic_up_to_the_declared_factor(grade: int) -> None:
    factor = SHIFTS["bias"].strengths[grade]
    field = bias_field(SIZE, factor, np.random.default_rng(5))
    assert np.abs(np.log(field)).max() == pytest.approx(np.log(factor), rel=1e-5)
    axes = np.meshgrid(*(np.arange(length) / length for length in SIZE), indexing="ij")
    powers = [p for p in itertools.product(range(4), repeat=3) if sum(p) <= 3]
    basis = np.stack(
        [np.prod([axis**p for axis, p in zip(axes, each, strict=True)], axis=0).ravel() for each in powers]
    )
    residual = np.log(field).ravel() - basis.T @ np.linalg.lstsq(basis.T, np.log(field).ravel(), rcond=None)[0]
    assert np.abs(residual).max() < 1e-5
    shown = shifted(grey(0.3), SHIFTS["bias"], grade, seed=0).image / np.float32(0.3)
    assert 1 / factor - 1e-5 <= shown.min() < 1 < shown.max() <= factor + 1e-5


def test_gamma_is_a_power_or_its_inverse_as_the_case_draws() -> None:
    case, powers = case_of(), set()
    for number in range(20):
        named = replace(case, identifier=f"case-{number}")
        found = shifted(named, SHIFTS["gamma"], 3, seed=0).image
        inside = (case.image > 0.1) & (case.image < 0.9)
        power = np.log(found[inside].astype(float)) / np.log(case.image[inside].astype(float))
        assert np.ptp(power) < 1e-4
        powers.add(round(float(power.mean()), 3))
    assert powers == {2.0, 0.5}


def test_thick_slices_are_means_of_as_many_voxels_interpolated_along_depth() -> None:
    case = case_of()
    found = shifted(case, SHIFTS["thickness"], 2, seed=0)
    means = case.image.reshape(8, 3, *SIZE[1:]).mean(1)
    assert np.allclose(found.image[1::3], means, atol=1e-6)  # the middle of each slice
    assert np.allclose(found.image[2], 2 / 3 * means[0] + 1 / 3 * means[1], atol=1e-6)
    assert np.allclose(found.image[0], means[0], atol=1e-6)
    assert np.array_equal(found.label, case.label)
    ramp = replace(case, image=np.broadcast_to(np.linspace(0, 1, 24, dtype=np.float32)[:, None, None], SIZE))
    kept = shifted(ramp, SHIFTS["thickness"], 2, seed=0).image
    assert np.allclose(kept[1:-1], ramp.image[1:-1], atol=1e-6)


@pytest.mark.parametrize("grade", GRADES)
def test_a_smaller_field_of_view_shows_the_middle_and_labels_nothing_else(grade: int) -> None:
    case = replace(case_of(), label=np.full(SIZE, 2, np.uint16))
    found, share = shifted(case, SHIFTS["field-of-view"], grade, seed=0), SHIFTS["field-of-view"].strengths[grade]
    inside = np.asarray(found.label) == 2
    assert [int(inside.any(axis=others).sum()) for others in ((1, 2), (0, 2), (0, 1))] == [
        round(share * length) for length in SIZE
    ]
    assert np.array_equal(found.image, np.where(inside, case.image, 0))
    edges = np.argwhere(inside)
    assert np.all(np.abs(edges.min(0) - (np.array(SIZE) - 1 - edges.max(0))) <= 1)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.5)])
def test_a_rotation_turns_by_its_degrees_in_millimetres(spacing: tuple[float, float, float]) -> None:
    start = np.array([0.0, 5.0, 0.0])
    turned = rotated(blob(start, spacing), [1.0, 0.0, 0.0], 30.0, spacing)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SIZE), indexing="ij"), axis=-1)
    centre = (grid * turned[..., None]).sum((0, 1, 2)) / turned.sum()
    found = (centre - (np.array(SIZE) - 1) / 2) * spacing
    expected = 5 * np.array([0, np.cos(np.pi / 6), np.sin(np.pi / 6)])
    assert found == pytest.approx(expected, abs=0.05)


def test_a_quarter_turn_is_numpys() -> None:
    cube = np.random.default_rng(0).random((9, 9, 9), dtype=np.float32)
    turned = rotated(cube, [1.0, 0.0, 0.0], 90.0, (1.0, 1.0, 1.0))
    inner = (slice(1, -1),) * 3  # where rounding takes no neighbour from outside
    assert np.allclose(turned[inner], np.rot90(cube, 1, (1, 2))[inner], atol=1e-5)


def test_labels_turn_back_and_stay_on_their_image() -> None:
    spacing, axis = (1.5, 1.0, 1.2), np.array([0.6, 0.0, 0.8])
    image = blob(np.array([2.0, 3.0, -2.0]), spacing)
    label = (image > 0.3).astype(np.uint16)
    there = rotated(label, axis, 30.0, spacing, labels=True)
    back = rotated(there, axis, -30.0, spacing, labels=True)
    dice = [2 * (one & other).sum() / (one.sum() + other.sum()) for one, other in ((label, there), (label, back))]
    assert dice[0] < 0.7 < 0.9 < dice[1]
    of_image = rotated(image, axis, 30.0, spacing) > 0.3
    assert (of_image != (there == 1)).mean() < 0.005
    case = Case("case", image, label, spacing)
    found = shifted(case, SHIFTS["rotation"], 3, seed=0)
    assert ((found.image > 0.3) != (np.asarray(found.label) == 1)).mean() < 0.005


def test_names_are_resolved_in_one_order_and_wrong_ones_refused() -> None:
    assert resolve_shifts("rotation, noise,rotation") == ("noise-v1", "rotation-v1")
    assert len(resolve_shifts("all")) == len(SHIFTS) == 6
    assert resolve_shifts("") == ()
    for wrong in ("fog", "noise,fog", ",", "noise-v1"):
        with pytest.raises(UserError, match="--shifts"):
            resolve_shifts(wrong)
    with pytest.raises(UserError, match="noise-v9"):
        shifts_called(["noise-v9"])
