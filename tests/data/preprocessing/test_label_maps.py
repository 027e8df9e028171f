"""Label maps are told from scans by their voxels: scans of few grey levels stay scans, coarse labels are label maps."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from ssl_bench.api.cases import Problem, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.preprocessing import arrays
from ssl_bench.data.preprocessing.label_maps import EMPTY, MIN_BACKGROUND, label_map_reason
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.data.synthetic.anatomy import load_anatomy
from tests.data.files import ct, heart, save


@cache
def anatomy(name: Literal["chest", "brain"]) -> tuple[np.ndarray, np.ndarray]:
    """A window of a real scan and of its labels."""
    whole = load_anatomy(name)
    box = np.s_[60:100, 20:140, 40:150]
    return whole.image.numpy()[box], whole.labels.numpy()[box]


def levels(image: np.ndarray, low: float, high: float, count: int = 256) -> np.ndarray:
    """`count` grey levels from `low` to `high`, everything else cut off."""
    return np.clip((image - low) / (high - low) * (count - 1), 0, count - 1).astype(np.uint8)


@pytest.mark.parametrize(
    ("window", "count"), [((-800, -400), 256), ((-160, 240), 256), ((200, 1500), 256), ((-160, 240), 16)]
)
def test_ct_that_is_cut_off_on_both_sides_is_a_scan(window: tuple[float, float], count: int) -> None:
    image = levels(anatomy("chest")[0], *window, count)
    assert np.mean(image == 0) > MIN_BACKGROUND
    assert label_map_reason(image) == ""


def test_ct_with_constant_air_is_a_scan() -> None:
    air = np.maximum(anatomy("chest")[0].astype(np.int16) + 200, 0)
    assert np.mean(air == 0) > 0.3
    assert label_map_reason(air) == ""


@pytest.mark.parametrize("count", [256, 64, 16])
def test_skull_stripped_mr_of_few_grey_levels_is_a_scan(count: int) -> None:
    image, labels = anatomy("brain")
    stripped = np.where(labels > 0, 1 + levels(image, 0, image.max(), count), 0)
    assert np.mean(stripped == 0) > MIN_BACKGROUND
    assert label_map_reason(stripped) == ""


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_low_counts_scattered_over_nothing_are_a_scan(kind: Any) -> None:
    assert label_map_reason(np.random.default_rng(0).poisson(0.1, (40, 40, 40)).astype(kind)) == ""


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("name", ["chest", "brain"])
def test_labels_are_label_maps_at_any_spacing(name: Any, step: int) -> None:
    labels = anatomy(name)[1][::step, ::step, ::step]
    for stored in (labels, np.where(labels > 0, labels + 1000.0, 0)):
        assert f"pieces of {len(np.unique(labels)) - 1} values" in label_map_reason(stored)


def test_one_voxel_a_thread_and_a_sheet_are_label_maps() -> None:
    for place in (np.s_[5, 5, 5], np.s_[5, 5, :], np.s_[5, :, :]):
        mask = np.zeros((20, 20, 20), np.uint8)
        mask[place] = 255
        assert "pieces of one value" in label_map_reason(mask)


def test_a_parcellation_of_hundreds_of_values_is_a_label_map() -> None:
    blocks = np.random.default_rng(0).permutation(512).reshape(8, 8, 8) + 1
    parcels = np.pad(np.kron(blocks, np.ones((3, 3, 3), int)), 8)
    assert "pieces of 512 values" in label_map_reason(parcels)


def test_labels_without_a_background_are_a_label_map() -> None:
    tissues = np.kron(np.random.default_rng(0).integers(1, 6, (5, 5, 5)), np.ones((8, 8, 8), np.uint8))
    assert label_map_reason(tissues) == "all of it pieces of 5 values"
    # In Hounsfield units these are the pieces of a phantom; of one value, a broken scan.
    assert label_map_reason(200 * tissues - 600) == ""
    assert label_map_reason(np.ones((8, 8, 8))) == ""
    image = anatomy("brain")[0]
    assert label_map_reason(1 + levels(image, 0, image.max(), 16)) == ""


def test_nothing_but_zeros_is_said_to_be_empty() -> None:
    assert label_map_reason(np.zeros((8, 8, 8))) == EMPTY


PREPROCESSING = Preprocessing(intensity="mr", region="whole")


def among_scans(path: Path) -> SourceCase:
    return SourceCase(path.stem, path, 0, path.stem, may_be_label_map=True)


def test_a_label_map_is_left_out_and_never_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))
    scan, label = save(tmp_path / "a.nii", ct() + np.int16(2000)), save(tmp_path / "b.nii", heart())
    cases = [among_scans(scan), among_scans(label)]
    # What was prepared as a scan before, as with --take-labels, is judged all the same.
    prepare([SourceCase("b", label, 0, "b")], PREPROCESSING, None, 1, lambda words: None)

    def outcome() -> tuple[list[str], list[Problem]]:
        prepared, problems = prepare(cases, PREPROCESSING, None, 1, lambda words: None)
        return [case.identifier for case in prepared], problems

    reason = "95.3 % of its voxels are 0 and the others pieces of one value"
    assert outcome() == (["a"], [Problem(label, reason, is_label_map=True)])
    monkeypatch.setattr(arrays, "read_volume", None)
    assert outcome() == (["a"], [Problem(label, reason, is_label_map=True)])
