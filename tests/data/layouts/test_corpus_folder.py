"""Any folder of scans as a pre-training corpus."""

from pathlib import Path

import pytest

from ssl_bench.data.layouts.corpus_folder import CORPUS_PREPROCESSING, find_corpus
from ssl_bench.errors import UserError
from tests.data import folders as layouts


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_scans_of_every_format_and_depth_are_found_and_none_is_labelled(tmp_path: Path) -> None:
    names = layouts.write_corpus(tmp_path)
    found = find_corpus(tmp_path)
    assert found.problems == []
    assert [case.identifier for case in found.cases] == names
    assert {case.label for case in found.cases} == {0}
    assert (CORPUS_PREPROCESSING.intensity, CORPUS_PREPROCESSING.region) == ("ct", "whole")


def test_label_files_beside_their_scans_are_no_scans_by_their_names(tmp_path: Path) -> None:
    labels = ["1.label.nii.gz", "2_label.nii", "3_seg.nii.gz", "4.seg.nrrd", "x/5_Label.mha", "3_probseg.nii.gz"]
    scans = ["1.img.nii.gz", "2.nii", "3_t1.nii", "4.nrrd", "label.nii", "segment.nii", "x/5.mha", "x/4_seg.nii"]
    touch(tmp_path, *labels, *scans, "readme.txt")
    found = find_corpus(tmp_path)
    assert {case.image for case in found.cases} == {tmp_path / scan for scan in scans}
    assert {label.path for label in found.label_maps} == {tmp_path / label for label in labels}
    reasons = {label.path.name: label.reason for label in found.label_maps}
    assert reasons["1.label.nii.gz"] == "its name says that it labels 1.img.nii.gz"
    everything = find_corpus(tmp_path, take_labels=True)
    assert (len(everything.cases), everything.label_maps) == (len(labels) + len(scans), [])


def test_identifiers_are_safe_and_distinct(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.nii", "a-b.nii.gz", "a b.mha", "A_b.nrrd", "10.nii", "9.nii", "v1.2/ct 3.nii")
    names = [case.identifier for case in find_corpus(tmp_path).cases]
    assert names[:3] == ["9", "10", "A_b"]
    assert names[-1] == "v1.2-ct-3"
    assert len({name[:4] for name in names[3:6]}) == 1
    assert len(set(names)) == 7


def test_slices_in_the_corpus_folder_itself_are_one_scan_called_after_it(tmp_path: Path) -> None:
    layouts.write_corpus(tmp_path / "all", cases=4)
    (series,) = (tmp_path / "all").glob("dicom/*/CT.thorax")
    (case,) = find_corpus(series).cases
    assert (case.identifier, case.image) == ("CT.thorax", series)


def test_a_listing_chooses_the_scans(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii", "b/c.mha", "d.nii")
    (tmp_path / "list.csv").write_text("site,path\nx,b/c.mha\ny,a.nii\n")
    found = find_corpus(tmp_path / "list.csv")
    assert [case.identifier for case in found.cases] == ["a", "b-c"]
    assert found.problems == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("path\na.nii\nnone.nii\n", "line 3: none.nii does not exist in"),
        ("path\na.nii\n../other.nii\n", "line 3: ../other.nii leaves the folder"),
        ("path\na.nii\na.nii\n", "line 3: a.nii stands in line 2 already"),
        ("file\na.nii\n", "has no column path, only file"),
        ("path;site\na.nii;x\n", "separates its columns by ';'"),
    ],
)
def test_a_listing_that_does_not_fit_the_folder_is_a_problem(rows: str, said: str, tmp_path: Path) -> None:
    touch(tmp_path, "a.nii", "../other.nii")
    listing = tmp_path / "list.csv"
    listing.write_text(rows)
    (problem,) = find_corpus(listing).problems
    assert problem.path == listing
    assert said in problem.reason


def test_a_folder_without_volumes_says_what_is_expected(tmp_path: Path) -> None:
    (problem,) = find_corpus(touch(tmp_path, "readme.txt", "a.label.txt")).problems
    assert problem.path == tmp_path
    assert problem.reason.startswith("holds no volume; expected .nii")


def test_a_folder_or_a_listing_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none: no such folder"):
        find_corpus(tmp_path / "none")
    with pytest.raises(UserError, match=r"list\.csv: no such file; name a CSV with the column path"):
        find_corpus(tmp_path / "list.csv")
