"""The leak guard: a changed copy of a scan is found whatever was done to it, and no other scan is."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift, zoom

from ssl_bench.data.copy_candidates import content_frames
from ssl_bench.data.leaks import same_scans
from ssl_bench.data.preprocessing.signature import Signature, signature

SHAPE = (36, 44, 40)
Scan = NDArray[np.float32]


def body(seed: int, beat: float = 0.0) -> Scan:
    """A CT in HU: a body in air with tissue of its own; `beat` changes the tissue in its middle, as a heart does."""
    random = np.random.default_rng(seed)
    z, y, x = (np.linspace(-1, 1, n) for n in SHAPE)
    radii = random.uniform(0.75, 0.9, 3)
    far = (z[:, None, None] / radii[0]) ** 2 + (y[:, None] / radii[1]) ** 2 + (x / radii[2]) ** 2
    tissue = gaussian_filter(random.normal(size=SHAPE), 2.5) * 4000
    heart = gaussian_filter(np.random.default_rng(seed + 1000).normal(size=SHAPE), 2.5) * 4000
    tissue = np.where(far < 0.15, (1 - beat) * tissue + beat * heart, tissue)
    voxels = np.where(far < 1, 50 + tissue, -1000) + random.normal(0, 10, SHAPE)
    return np.clip(voxels, -1024, None).round().astype(np.float32)


PEOPLE = [body(seed) for seed in range(8)]
COHORT = [(f"scan{number}", signature(voxels)) for number, voxels in enumerate(PEOPLE)]
INSIDE = gaussian_filter(PEOPLE[0], 2) > -500
Z, Y, X = np.indices(SHAPE)


def found(copy: NDArray[Any]) -> list[str]:
    return [name for name, _ in same_scans(COHORT, [("case", signature(copy))])]


CHANGES: dict[str, Callable[[Scan], NDArray[Any]]] = {
    "nothing": lambda v: v,
    "1024 added": lambda v: v + 1024,
    "halved": lambda v: v * 0.5,
    "whole numbers": lambda v: v.astype(np.int16),
    "float64": lambda v: v.astype(np.float64) / 4095,
    "one voxel of metal": lambda v: np.where((Z == 18) & (Y == 22) & (X == 20), 30000, v),
    "an edge of -32768": lambda v: np.where((Z == 0) & (Y == 0), -32768, v),
    "clipped at 100": lambda v: np.minimum(v, 100),
    "clipped at -1000": lambda v: np.maximum(v, -1000),
    "a soft tissue window in 8 bit": lambda v: ((np.clip(v, -160, 240) + 160) / 400 * 255).astype(np.uint8),
    "a lung window in 8 bit": lambda v: ((np.clip(v, -1350, 150) + 1350) / 1500 * 255).astype(np.uint8),
    "-3024 outside the field of view": lambda v: np.where((Y - 21.5) ** 2 + (X - 19.5) ** 2 < 400, v, -3024),
    "padded with -3024": lambda v: np.pad(v, ((0, 0), (6, 6), (6, 6)), constant_values=-3024),
    "padded with 0 on one side": lambda v: np.pad(v, ((5, 0), (0, 0), (0, 0))),
    "the body alone": lambda v: np.where(INSIDE, v, 0),
    "the middle of the body alone": lambda v: np.where((Z - 18) ** 2 + (Y - 22) ** 2 + (X - 20) ** 2 < 144, v, 0),
    "noise of 1 HU": lambda v: v + np.random.default_rng(0).normal(0, 1, SHAPE),
    "smoothed": lambda v: gaussian_filter(v, 0.7),
    "a slice shorter": lambda v: v[1:],
    "two columns shorter": lambda v: v[:, :, :-2],
    "cropped on all sides": lambda v: v[1:-1, 2:-2, 1:-1],
    "rolled by a voxel": lambda v: np.roll(v, 1, 1),
    "shifted by parts of a voxel": lambda v: shift(v, (0.5, 0.3, 0.7), order=1, mode="nearest"),
    "resampled coarser": lambda v: zoom(v, 0.7, order=1),
    "resampled finer": lambda v: zoom(v, (1.5, 1.2, 1.2), order=1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_copy_is_found_and_no_other_scan(change: Callable[[Scan], NDArray[Any]]) -> None:
    assert found(change(PEOPLE[0])) == ["scan0"]


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_a_turned_and_mirrored_copy_is_found(axes: tuple[int, int, int]) -> None:
    for flip in ((), (0,), (1, 2), (0, 1, 2)):
        assert found(np.flip(np.minimum(PEOPLE[0], 400).transpose(axes), flip)) == ["scan0"]


def test_other_people_of_one_shape_are_not_found() -> None:
    assert [found(body(seed)) for seed in range(20, 26)] == [[]] * 6


def test_two_beats_of_one_heart_correlate_at_99_percent_and_are_two_scans() -> None:
    diastole, systole = body(3), body(3, beat=1.0)
    assert np.corrcoef(diastole.ravel(), systole.ravel())[0, 1] > 0.99
    assert found(systole) == []


def test_sparse_maps_of_other_places_are_not_the_same() -> None:
    def maps(seed: int) -> Scan:
        places = np.random.default_rng(seed).random(SHAPE) > 0.9995
        return gaussian_filter(places.astype(np.float32), 0.8)

    cohort = [(str(seed), signature(maps(seed))) for seed in range(6)]
    assert same_scans(cohort, cohort) == []
    assert same_scans(cohort, [("copy", signature(maps(2) * 1000))]) == [("2", "copy")]


def test_a_scan_with_a_hot_voxel_each_is_no_other() -> None:
    hot = [np.where((Z == 0) & (Y == 0) & (X == 0), 1e6, voxels) for voxels in PEOPLE[:4]]
    cohort = [(str(number), signature(voxels)) for number, voxels in enumerate(hot)]
    assert same_scans(cohort, cohort) == []


def test_every_pair_is_named_and_a_cohort_is_compared_with_itself_once() -> None:
    pairs = [("a", signature(PEOPLE[0])), ("b", signature(PEOPLE[0])), ("c", signature(PEOPLE[1]))]
    assert same_scans(pairs, [("case", signature(PEOPLE[0]))]) == [("a", "case"), ("b", "case")]
    assert same_scans(pairs, pairs) == [("a", "b")]
    assert same_scans([], pairs) == same_scans(pairs, []) == []


def test_cohorts_of_five_hundred_are_compared_in_seconds() -> None:
    random = np.random.default_rng(0)
    blocks = [gaussian_filter(random.normal(size=(32, 32, 32)), 1.5, mode="wrap") for _ in range(50)]
    values = [np.clip(128 + 400 * each, 0, 255).astype(np.uint8) for each in blocks]
    flat = np.zeros((32, 32, 32), np.uint8)
    # Rolled far, one volume stands for ten different ones.
    rolled = [np.roll(each, (8 * k, 5 * k, 11 * k), (0, 1, 2)) for each in values for k in range(20)]
    scans = [(str(number), Signature(SHAPE, each, flat)) for number, each in enumerate(rolled)]
    start = time.process_time()
    assert same_scans(scans[::2], scans[1::2]) == []
    assert time.process_time() - start < 5


def test_scans_of_a_thousand_voxels_are_copies_only_if_they_hold_the_same() -> None:
    ramp = np.arange(100.0, 700, 100)[:, None, None]
    first, second = (ramp + np.random.default_rng(seed).integers(-30, 31, (12, 14)) for seed in (0, 1))
    cohort = [("first", signature(first))]
    assert same_scans(cohort, [("case", signature(second))]) == []
    assert same_scans(cohort, [("case", signature(2 * first + 1024))]) == [("first", "case")]


def test_the_frame_of_a_content_is_where_cells_differ_from_their_neighbours() -> None:
    """A single cell differs from the six around it: two of these lie a cell off along any axis."""
    cells = np.zeros((2, 12, 10, 8), np.float32)
    cells[0, 4, 5, 3] = 1
    cells[1, 6, 2, 4], cells[1, 9, 7, 4] = 1, 9
    shown = np.ones_like(cells)
    shown[1, 8:] = 0
    found = content_frames(cells, shown)
    sizes = np.array([12, 10, 8])
    np.testing.assert_allclose(found[:, :, 0], (np.array([[4, 5, 3], [6, 2, 4]]) + 0.5) / sizes, rtol=1e-6)
    np.testing.assert_allclose(found[:, :, 1], np.tile(np.sqrt(1 / 3) / sizes, (2, 1)), rtol=1e-5)
