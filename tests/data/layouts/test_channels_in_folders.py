"""Several channels of unlabelled scans, and of scans that a CSV labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.data.layouts.channel_names import column_channels
from ssl_bench.data.layouts.corpus_folder import find_corpus
from ssl_bench.data.layouts.labelled_folder import labelled_folder_task

CHANNELS = ("T1", "CT")


def fill(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_numbered_files_beside_each_other_are_channels_of_one_scan(tmp_path: Path) -> None:
    root = fill(tmp_path, "a/p.1_0001.nii.gz", "a/p.1_0000.nii.gz", "b/p.1_0000.nrrd", "c/q_0001.mha")
    found = find_corpus(root, channels=CHANNELS)
    assert found.problems == []
    assert [(case.identifier, case.channels) for case in found.cases] == [
        ("a-p.1", (root / "a/p.1_0000.nii.gz", root / "a/p.1_0001.nii.gz")),
        ("b-p.1", (root / "b/p.1_0000.nrrd", None)),
        ("c-q", (None, root / "c/q_0001.mha")),
    ]
    assert [case.image.name for case in found.cases] == ["p.1_0000.nii.gz", "p.1_0000.nrrd", "q_0001.mha"]


def test_without_declared_channels_every_file_is_a_scan_as_before(tmp_path: Path) -> None:
    found = find_corpus(fill(tmp_path, "p_0000.nii", "p_0001.nii"))
    assert [(case.identifier, case.channels) for case in found.cases] == [("p_0000", ()), ("p_0001", ())]


def test_what_is_no_channel_is_said_by_file(tmp_path: Path) -> None:
    root = fill(tmp_path, "i/p_0000.nii", "i/p_0002.nii", "i/p_0000.nrrd", "l/p.nii", "other.nii", "i/p_seg.nii")
    found = find_corpus(root, channels=CHANNELS)
    (case,) = found.cases
    assert case.channels == (root / "i/p_0000.nii", None)
    assert {
        problem.path.relative_to(root).as_posix(): problem.reason.partition(";")[0] for problem in found.problems
    } == {
        "i/p_0000.nrrd": f"is p_0000 a second time, beside {root / 'i/p_0000.nii'}",
        "i/p_0002.nii": "has a number beyond its channels, _0000 to _0001",
        "other.nii": "has no channel's number, _0000 to _0001, at the end of its name",
    }
    assert {problem.path.name for problem in found.label_maps} == {"p.nii", "p_seg.nii"}


def test_a_listing_has_a_column_for_each_channel(tmp_path: Path) -> None:
    fill(tmp_path, "a.nii", "b.nii", "c.nii")
    table = tmp_path / "list.csv"
    table.write_text("path_CT,path_T1,patient\na.nii,b.nii,x\n,c.nii,y\n,,z\nd.nii,c.nii,w\n")
    found = find_corpus(table, channels=CHANNELS)
    assert [(case.identifier, case.channels, case.patient) for case in found.cases] == [
        ("b", (tmp_path / "b.nii", tmp_path / "a.nii"), "x"),
        ("c", (tmp_path / "c.nii", None), "y"),
    ]
    assert sorted(problem.reason.partition(";")[0] for problem in found.problems) == [
        "line 4: path_T1 is empty",
        "line 5: c.nii stands in line 3 already",
        f"line 5: d.nii does not exist in {tmp_path}",
    ]


def test_a_labelled_folder_has_a_column_for_each_channel(tmp_path: Path) -> None:
    fill(tmp_path, "1t.nii", "1c.nii", "2t.nii")
    (tmp_path / "labels.csv").write_text("image_T1,label,image_CT\n1t.nii,1,1c.nii\n2t.nii,0,\n")
    task = labelled_folder_task(tmp_path)
    assert task.dataset is not None
    preprocessing = task.dataset.preprocessing
    assert (preprocessing.channels, preprocessing.intensity, task.facts.modality) == (CHANNELS, ("mr", "ct"), "MR")
    found = task.dataset.find(tmp_path)
    assert found.problems == []
    assert [(case.identifier, case.label, case.channels) for case in found.cases] == [
        ("1t", 1, (tmp_path / "1t.nii", tmp_path / "1c.nii")),
        ("2t", 0, (tmp_path / "2t.nii", None)),
    ]


@pytest.mark.parametrize("header", [["image", "image_date", "image_T1"], ["image_T1", "label"], ["label", "image_"]])
def test_one_image_column_is_one_channel_whatever_else_is_called_so(header: list[str]) -> None:
    assert column_channels(header, "image") == {}
