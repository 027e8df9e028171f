"""Looking at every case of a data set before anything is prepared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.checking import absent_values, check
from ssl_bench.data.preprocessing.arrays import CaseReport
from ssl_bench.data.preprocessing.labels import LabelRule
from tests.data.files import ct, heart, labelled, save
from tests.data.preprocessing.test_lungs import phantom

RULE = LabelRule(values=(500,), synonyms={501: 500})
PREPROCESSING = Preprocessing(intensity="ct", region="label")


def look(cases: list[SourceCase], *problems: Problem) -> tuple[list[CaseReport], list[Problem]]:
    return check(Found(cases, list(problems)), Path(), PREPROCESSING, RULE, 1, lambda words: None)[:2]


def test_a_report_says_what_the_files_hold(tmp_path: Path) -> None:
    labels = heart()
    labels[0, 0, :4] = 501
    spacing = (2.0, 0.5, 0.8)
    image, label = save(tmp_path / "a.nii", ct(), spacing), save(tmp_path / "b.nii", labels, spacing)
    case = SourceCase("a", image, label, "a")
    (report,), problems = look([case])
    assert not problems
    assert report.case == case
    assert report.shape == (12, 14, 16)
    assert report.spacing_mm == pytest.approx(spacing)
    assert report.channels[0].value_range == (-1024, ct().max())
    # Voxels of 0.8 mm^3.
    assert report.label_ml == pytest.approx({0: 2559 * 0.0008, 500: 125 * 0.0008, 501: 4 * 0.0008})
    assert report.notes == ("501 read as 500 (voxels: 4)",)


def test_a_class_that_no_label_holds_is_named(tmp_path: Path) -> None:
    labels = heart()
    labels[labels == 500] = 501
    save(tmp_path / "b.nii", labels)
    (report,), _ = look([SourceCase("a", save(tmp_path / "a.nii", ct()), tmp_path / "b.nii", "a")])
    assert absent_values([report], RULE) == []  # 501 stands for 500.
    assert absent_values([report], RULE.model_copy(update={"values": (500, 7, 8)})) == [7, 8]
    assert absent_values([replace(report, has_class=False)], RULE.model_copy(update={"values": (7,)})) == []


def test_classes_of_whole_volumes_need_no_label_file(tmp_path: Path) -> None:
    case = SourceCase("a", save(tmp_path / "a.nii", ct()), 1, "a")
    (report,), problems, _ = check(
        Found([case], []), tmp_path, Preprocessing(intensity="ct", region="whole"), None, 1, lambda words: None
    )
    assert report.label_ml == {}
    assert not problems


def test_every_problem_is_said_by_file_beside_those_that_were_found_before(tmp_path: Path) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("abcde")]
    save(cases[0].image, np.full((12, 14, 16), -1024, np.int16))
    save(cases[1].image, ct(1), (1.0, 1.0, 12.0))
    save(cases[2].label, heart(value=9))  # type: ignore[arg-type]
    cases[3].image.write_bytes(b"")
    before = Problem(tmp_path / "stray.nii", "has no label")
    reports, problems = look(cases, before)
    assert [report.case.identifier for report in reports] == ["e"]
    assert [problem.path for problem in problems] == [
        cases[0].image,
        cases[1].image,
        cases[2].label,
        cases[3].image,
        before.path,
    ]
    for problem, word in zip(problems, ["every voxel is -1024", "1 x 1 x 12 mm", "values 9", "", ""], strict=True):
        assert word in problem.reason


def test_an_offset_that_seems_wrong_is_noted(tmp_path: Path) -> None:
    case = labelled(tmp_path)
    save(case.image, ct() + np.int16(1024))
    (report,), _ = look([case])
    assert "intensity_offset=0" in report.doubts[0].way_out


def test_lungs_are_looked_for(tmp_path: Path) -> None:
    voxels, _ = phantom((4.0, 3.0, 3.0))
    cases = [
        SourceCase("a", save(tmp_path / "a.nii", voxels, (4.0, 3.0, 3.0)), 1, "a"),
        SourceCase("b", save(tmp_path / "b.nii", ct()), 0, "b"),
    ]
    declared = Preprocessing(intensity="ct", region="lungs", spacing_mm=4.0)
    (report,), (problem,), _ = check(Found(cases, []), tmp_path, declared, None, 1, lambda words: None)
    assert report.notes == ("lungs by threshold: 0.8 l, two lungs",)
    assert problem.path == cases[1].image
    assert "0.00 l of lung" in problem.reason


def test_labels_that_are_all_background_are_a_problem_only_where_all_are(tmp_path: Path) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("ab")]
    whole = PREPROCESSING.model_copy(update={"region": "whole"})
    save(cases[0].label, np.zeros((12, 14, 16), np.uint8))  # type: ignore[arg-type]
    reports, problems, _ = check(Found(cases, []), tmp_path, whole, RULE, 1, lambda words: None)
    assert [report.has_class for report in reports] == [False, True]
    assert reports[0].notes == ("holds no voxel of any class (500)",)
    assert not problems
    save(cases[1].label, np.zeros((12, 14, 16), np.uint8))  # type: ignore[arg-type]
    _, problems, _ = check(Found(cases, []), tmp_path, whole, RULE, 1, lambda words: None)
    reason = "holds no voxel of any class (500), and no other label does; name the right label files"
    assert problems == [Problem(cases[0].label, reason)]  # type: ignore[arg-type]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_scan_that_the_data_set_holds_twice_is_said_with_both_files(tmp_path: Path, mirrored: bool) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("abc")]
    voxels = ct(0)[:, ::-1] if mirrored else ct(0)
    cases[2] = replace(cases[2], image=save(tmp_path / "elsewhere.nii.gz", voxels.astype(np.float32) + 3))
    reports, problems = look(cases)
    assert len(reports) == 3
    assert problems == [Problem(cases[2].image, f"the same scan as {cases[0].image}; keep one of them")]


def test_a_patient_in_test_and_training_cases_is_said_with_both(tmp_path: Path) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("ab")]
    cases = [replace(cases[0], patient="p"), replace(cases[1], patient="p", split="test")]
    _, (problem,) = look(cases)
    assert problem.path == cases[1].image
    assert problem.reason.startswith("patient 'p' is in the data set's test cases (b) and in the others (a); keep")
