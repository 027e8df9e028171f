"""What is kept of a prepared case."""

import json
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from ssl_bench.api.cases import SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.preprocessing import prepared
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.data.preprocessing.signature import VERSION
from ssl_bench.data.preprocessing.stored import Stored
from tests.data.files import ct, heart, labelled, save
from tests.data.preprocessing.preparation import PREPROCESSING, prepare_all, silent
from tests.data.preprocessing.test_lungs import phantom


def test_prepared_arrays_are_mapped_from_disk_and_read_only(tmp_path: Path) -> None:
    (found,) = prepare_all([labelled(tmp_path)])
    case = found.load()
    assert isinstance(case.image, Stored)
    assert isinstance(case.image.levels, np.memmap)
    assert not case.image.levels.flags.writeable
    assert isinstance(case.label, Stored)
    assert case.identifier == "a"
    assert case.image.shape == case.label.shape == found.shape == (9, 9, 9)
    assert case.spacing_mm == (1.0, 1.0, 1.0)
    np.testing.assert_allclose(case.image, ((ct() + 1024) / 2048).clip(0, 1)[1:10, 2:11, 3:12], rtol=1e-6)
    assert np.array_equal(case.label, heart(value=1)[1:10, 2:11, 3:12])


def test_case_json_says_what_the_folder_holds(tmp_path: Path) -> None:
    (found,) = prepare_all([labelled(tmp_path)])
    said = json.loads((found.folder / "case.json").read_text())
    assert said["identifier"] == "a"
    assert said["shape"] == [9, 9, 9]
    assert said["spacing_mm"] == [1.0, 1.0, 1.0]
    assert said["notes"] == list(found.notes) == []
    assert said["doubts"] == [vars(doubt) for doubt in found.doubts]
    assert said["has_class"] is found.has_class is True
    assert said["signature"]["version"] == VERSION
    assert found.signature.shape == (12, 14, 16)
    assert all(len(digest) == 64 for digest in said["sources"].values())


def test_what_an_earlier_version_described_otherwise_is_prepared_again_to_the_same(tmp_path: Path) -> None:
    case = labelled(tmp_path)
    (found,) = prepare_all([case])
    said = json.loads((found.folder / "case.json").read_text())
    before = (found.folder / "image.npy").read_bytes()
    (found.folder / "case.json").write_text(json.dumps({name: said[name] for name in said if name != "doubts"}))
    (again,) = prepare_all([case])
    assert (again.digest, again.doubts) == (found.digest, found.doubts)
    assert (again.folder / "image.npy").read_bytes() == before


def test_the_class_of_a_whole_volume_is_kept(tmp_path: Path) -> None:
    cases = [SourceCase(f"c{label}", save(tmp_path / "a.nii", ct()), label, "a") for label in (0, 1)]
    found = prepare_all(cases, PREPROCESSING.model_copy(update={"region": "whole"}), None)
    assert [each.load().label for each in found] == [0, 1]


def test_what_found_the_lungs_is_part_of_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels, _ = phantom((4.0, 3.0, 3.0))
    case = SourceCase("a", save(tmp_path / "a.nii", voxels, (4.0, 3.0, 3.0)), 1, "a")
    declared = [
        Preprocessing(intensity="ct", region="lungs", spacing_mm=4.0, lungs=how) for how in ("auto", "threshold")
    ]
    (first,), (second,) = (prepare_all([case], preprocessing, None) for preprocessing in declared)
    assert first.notes == ("lungs by threshold: 0.8 l, two lungs",)
    assert [doubt.what for doubt in first.doubts] == ["the lungs hold less than 1 l"]
    assert first.digest == second.digest
    monkeypatch.setattr(prepared, "chosen", lambda how: "lungmask")
    _, (problem,) = prepare([case], declared[0], None, 1, silent)
    assert "lungmask" in problem.reason


def test_a_small_crop_touches_few_pages_of_a_large_volume(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (200, 200, 200)).astype(np.int16)
    case = SourceCase("a", save(tmp_path / "a.nii", voxels), 1, "a")
    (found,) = prepare_all([case], PREPROCESSING.model_copy(update={"region": "whole"}), None)
    image = found.load().image
    assert isinstance(image, Stored)
    mapped = image.levels
    crop = image[100:132, 70:102, 90:122]
    # Rows of 32 neighbours, by the place in the file at which they begin.
    rows = mapped.offset + np.add.outer(np.arange(100, 132) * 200 * 200, np.arange(70, 102) * 200).ravel() * 2 + 90 * 2
    pages = set((rows // mmap.PAGESIZE).tolist() + ((rows + 32 * 2 - 1) // mmap.PAGESIZE).tolist())
    touched = len(pages) * mmap.PAGESIZE
    assert touched < mapped.nbytes / 5
    if sys.platform == "linux":
        assert crop.sum() > 0
        # Kernel and file system map neighbours of a page along with it, some of them 256 KiB.
        assert touched <= resident(found.folder / "image.npy") < mapped.nbytes / 2


def resident(path: Path) -> int:
    """Bytes of a mapped file that this process has touched."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.endswith(str(path)):
            return next(int(entry.split()[1]) * 1024 for entry in lines if entry.startswith("Rss:"))
    raise AssertionError(f"{path} is not mapped")
