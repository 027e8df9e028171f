"""Whether a recipe for intensities fits a scan."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_bench.api.cases import Doubt
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.doubts import doubt_lines
from ssl_bench.data.preprocessing.arrays import normalised
from ssl_bench.data.preprocessing.contrast import Contrast, Values, doubts_of, sampled

FAR = np.sqrt(sum((axis - 11.5) ** 2 for axis in np.mgrid[:24, :24, :24]))


def chest() -> np.ndarray:
    """Lung in tissue with fat around it in air, HU."""
    hu = np.select([FAR < 5, FAR < 9, FAR < 10], [-850, 40, -100], -1000)
    return (hu + np.random.default_rng(0).normal(0, 15, hu.shape)).astype(np.float32)


def head() -> np.ndarray:
    """White matter in grey matter in nothing, as an MR."""
    signal = np.select([FAR < 5, FAR < 10], [900, 400], 0)
    return np.maximum(signal + np.random.default_rng(0).normal(0, 15, signal.shape), 0).astype(np.float32)


def with_voxels(voxels: np.ndarray, value: float, count: int = 1) -> np.ndarray:
    voxels = voxels.copy()
    voxels.flat[:count] = value
    return voxels


def doubts(voxels: np.ndarray, **declared: Any) -> tuple[Doubt, ...]:
    preprocessing = Preprocessing(**({"region": "whole"} | declared))
    image, _ = normalised(voxels.astype(np.float32), preprocessing, Path("a.nii"))
    return doubts_of(Values.of(voxels), Contrast.of(image), preprocessing)


@pytest.mark.parametrize(
    ("voxels", "declared"),
    [
        (chest(), {"intensity": "ct"}),
        (chest() + 1024, {"intensity": "ct", "intensity_offset": 0}),
        (with_voxels(chest() + 1024, -976, 3000), {"intensity": "ct", "intensity_offset": 0}),
        (np.clip(chest(), -160, 240), {"intensity": "ct"}),
        (with_voxels(chest(), 1e6), {"intensity": "ct"}),
        (head(), {"intensity": "mr"}),
        (head() / 900, {"intensity": "mr"}),
        (head() - 5, {"intensity": "mr"}),
        (with_voxels(head(), 3000), {"intensity": "mr"}),
        (np.pad(head(), 40), {"intensity": "mr"}),
        (with_voxels(head(), 1e6), {"intensity": "percentile"}),
        ((head() - 300) / 200, {"intensity": "percentile"}),
        (chest() / 1000, {"intensity": "percentile"}),
    ],
)
def test_nothing_is_said_where_the_recipe_fits(voxels: np.ndarray, declared: dict[str, Any]) -> None:
    assert doubts(voxels, **declared) == ()


def unit(voxels: np.ndarray) -> np.ndarray:
    return (voxels.clip(-1000, 1000) + 1000) / 2000


@pytest.mark.parametrize(
    ("change", "what", "way_out"),
    [
        (unit, "no value lies below -50 HU", "intensity=percentile"),
        (lambda hu: 2 * unit(hu) - 1, "no value lies below -50 HU", "intensity=percentile"),
        (lambda hu: (255 * unit(hu)).round(), "no value lies below -50 HU", "intensity=percentile"),
        (lambda hu: (hu - hu.mean()) / hu.std(), "no value lies below -50 HU", "intensity=percentile"),
        (lambda hu: head() / 4, "no value lies below -50 HU", "intensity=percentile"),
        (lambda hu: with_voxels(unit(hu), -1024, 3000), "no value lies below -50 HU", "intensity=percentile"),
        (lambda hu: hu + 1024, "no value lies below -50 HU", "intensity_offset=0"),
        (lambda hu: with_voxels(hu + 1024, -976, 3000), "no value lies below -50 HU", "intensity_offset=0"),
        (lambda hu: np.where(FAR < 7, 3000, hu), "lie above 1024 HU", "intensity_offset"),
    ],
)
def test_a_ct_in_other_units_is_doubted(change: Callable[[np.ndarray], np.ndarray], what: str, way_out: str) -> None:
    (doubt,) = doubts(change(chest()), intensity="ct")
    assert what in doubt.what
    assert way_out in doubt.way_out
    assert ("1024 was probably added" in doubt.way_out) == (way_out == "intensity_offset=0")


def test_a_region_of_one_soft_tissue_is_doubted() -> None:
    inside = chest()[FAR < 8].clip(0, 80)
    declared = Preprocessing(intensity="ct", region="label")
    (doubt,) = doubts_of(Values.of(chest()), Contrast.of((inside + 1024) / 2048), declared)
    assert doubt.what == "the recipe leaves hardly any contrast"
    assert "--set data.TASK.intensity=percentile" in doubt.way_out


def test_hu_without_the_offset_are_doubted() -> None:
    (doubt,) = doubts(chest(), intensity="ct", intensity_offset=0)
    assert doubt.way_out == "if it holds HU, --set data.TASK.intensity_offset=1024"


@pytest.mark.parametrize(
    ("voxels", "what"),
    [
        (np.where(FAR < 10, (head() - 560) / 230, 0), "negative values"),
        ((head() - head().mean()) / head().std(), "negative values"),
        (chest(), "negative values"),
        (with_voxels(head(), 32767), "hardly any contrast"),
        (with_voxels(head(), 1e6), "hardly any contrast"),
        (with_voxels(head(), 1e4, 40), "hardly any contrast"),
    ],
)
def test_an_mr_of_other_values_is_doubted(voxels: np.ndarray, what: str) -> None:
    (doubt,) = doubts(voxels, intensity="mr")
    assert what in doubt.what
    assert "--set data.TASK.intensity=percentile" in doubt.way_out


def test_the_figures_are_those_of_the_voxels() -> None:
    image = np.random.default_rng(0).random((9, 10, 11)).astype(np.float32)
    image[:3] = 0
    image[3, :5] = 1
    found = Contrast.of(image)
    assert found.spread == pytest.approx(image.std(), rel=1e-6)
    assert (found.at_0, found.at_1) == pytest.approx((1 / 3, 1 / 18))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(image[image > 0], (1, 99))))
    (doubt,) = doubts(with_voxels(head(), 32767), intensity="mr")
    assert doubt.figures.startswith("values from 0 to 3.277e+04, 98 % of them 0.")
    assert re.search(r"; prepared [\d.e-]+ to 0\.02", doubt.figures)
    assert "spread 0.0" in doubt.figures
    assert "% at 0, 0% at 1" in doubt.figures


def test_of_a_large_scan_a_million_voxels_are_looked_at() -> None:
    assert sampled(np.empty((512, 512, 300), np.int8)).size <= 2**20
    assert sampled(np.empty((100, 100, 100), np.int8)).size == 10**6


def test_doubts_of_many_cases_are_one_line_a_kind() -> None:
    first, second = Doubt("odd", "3", "--set data.TASK.size=1"), Doubt("even", "4", "nothing")
    found = doubt_lines("shc", {"a": (), "b": (first,), "c": (Doubt("odd", "5", first.way_out), second)})
    assert found == ["2 of 3 cases: odd (b: 3); --set data.shc.size=1", "1 of 3 cases: even (c: 4); nothing"]
