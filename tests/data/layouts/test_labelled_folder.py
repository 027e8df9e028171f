"""A folder of scans and a CSV of labels as a task."""

from pathlib import Path

import pytest

from ssl_bench.api.cases import Found
from ssl_bench.data.layouts.labelled_folder import labelled_folder_task
from ssl_bench.errors import UserError
from tests.data import folders as layouts


def folder(root: Path, table: str, name: str = "labels.csv") -> Path:
    """Three empty scans and a table."""
    root.mkdir(exist_ok=True)
    for scan in ("a.mha", "b.nii.gz", "deep/c.nrrd"):
        (root / scan).parent.mkdir(exist_ok=True)
        (root / scan).touch()
    (root / name).write_text(table)
    return root


def find(root: Path) -> Found:
    dataset = labelled_folder_task(root).dataset
    assert dataset is not None
    return dataset.find(root)


def test_a_folder_becomes_a_binary_classification_of_ct(tmp_path: Path) -> None:
    root = tmp_path / "My scans"
    root.mkdir()
    names = layouts.write_labelled_folder(root)
    task = labelled_folder_task(root)
    facts, dataset = task.facts, task.dataset
    assert dataset is not None
    assert (facts.kind, facts.metric, dataset.label_values, dataset.title) == ("classification", "AUC", (), "My-scans")
    assert (dataset.preprocessing.intensity, dataset.preprocessing.region) == ("ct", "whole")
    assert task.generator is None
    found = find(root)
    assert found.problems == []
    assert [case.identifier for case in found.cases] == names
    assert [case.label for case in found.cases] == [0, 0, 1, 1, 0, 0, 1, 1]
    assert [case.patient for case in found.cases][:3] == ["p1", "p1", "p2"]


def test_without_a_column_of_patients_every_scan_is_a_patient(tmp_path: Path) -> None:
    found = find(folder(tmp_path, "image, label\ndeep/c.nrrd, 1\na.mha, 0.0\n"))
    assert [(case.identifier, case.label, case.patient) for case in found.cases] == [
        ("a", 0, "a"),
        ("deep-c", 1, "deep-c"),
    ]
    assert found.problems == []


def test_the_only_csv_may_have_any_name_and_among_several_labels_csv_is_taken(tmp_path: Path) -> None:
    folder(tmp_path, "image,label\na.mha,1\n", "truth.CSV")
    assert len(find(tmp_path).cases) == 1
    (tmp_path / "hospitals.csv").write_text("site\n")
    assert "holds several CSV files (hospitals.csv, truth.CSV)" in find(tmp_path).problems[0].reason
    folder(tmp_path, "image,label\na.mha,1\nb.nii.gz,0\n")
    assert len(find(tmp_path).cases) == 2


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("../x.mha,1", "../x.mha leaves the folder"),
        ("deep/../a.mha,1", "leaves the folder"),
        ("/etc/passwd,1", "/etc/passwd leaves the folder; move the scan into it"),
        ("none.mha,1", "none.mha does not exist in"),
        (f"{'x' * 300},1", "does not exist in"),
        (",1", "image is empty; name a scan or remove the row"),
        ("b.nii.gz,1", "b.nii.gz stands in line 2 already; keep one of the rows"),
        ("./b.nii.gz,1", "stands in line 2 already"),
        ("a.mha,2", "label is '2', neither 0 nor 1; correct it or remove the row"),
        ("a.mha", "label is empty"),
        ("a.mha,n/a", "label is empty, or says that nothing is known; correct it or remove the row"),
        ("a.mha,1, ", "patient is empty; name who was scanned"),
        ("a.mha,1,NaN", "patient is empty; name who was scanned"),
        ("a.mha,1,p,q", "has 4 cells and the header 3 columns; put a text with a comma into quotes"),
    ],
)
def test_a_row_that_cannot_be_a_case_is_a_problem_of_its_line(row: str, said: str, tmp_path: Path) -> None:
    found = find(folder(tmp_path, f"image,label,patient\nb.nii.gz,0,p\n\n{row}{',p' if row.count(',') == 1 else ''}\n"))
    (problem,) = found.problems
    assert problem.path.name == "labels.csv"
    assert problem.reason.startswith("line 4: ")
    assert said in problem.reason
    assert [case.identifier for case in found.cases] == ["b"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("image;label\na.mha;1\n", "separates its columns by ';'"),
        ("image,class\na.mha,1\n", "has no column label, only image, class; name the columns image, label"),
        ("image,label,label\na.mha,1,0\n", "has the column label 2 times; keep one of them"),
        ("image,label,patient,patient\na.mha,1,p,q\n", "has the column patient 2 times; keep one of them"),
    ],
)
def test_a_table_in_another_form_is_a_problem(table: str, said: str, tmp_path: Path) -> None:
    (problem,) = find(folder(tmp_path, table)).problems
    assert said in problem.reason


def test_a_decimal_comma_makes_no_other_number_and_an_unknown_class_is_none(tmp_path: Path) -> None:
    for other in ("47", "47,5"):
        (problem, *_) = find(folder(tmp_path, f"image,target\na.mha,61,5\nb.nii.gz,{other}\n")).problems
        assert problem.reason.startswith("line 2: has 3 cells and the header 2 columns")
    found = find(folder(tmp_path, "image,label,site\na.mha,benign,,\nb.nii.gz,malignant,x\ndeep/c.nrrd,NA,x\n"))
    assert [case.label for case in found.cases] == [0, 1]
    assert [problem.reason.partition(":")[0] for problem in found.problems] == ["line 4"]


@pytest.mark.parametrize(
    "column", ["patient", "Patient", "PatientID", "patient_id", "Patient ID", "SUBJECT", "subject-id", "participant_id"]
)
def test_a_column_says_who_was_scanned_whatever_its_spelling(column: str, tmp_path: Path) -> None:
    found = find(folder(tmp_path, f"image,label,{column}\na.mha,1,x\nb.nii.gz,0,x\n"))
    assert [(case.patient, case.patient_is_known) for case in found.cases] == [("x", True)] * 2


def test_without_such_a_column_nobody_is_known(tmp_path: Path) -> None:
    found = find(folder(tmp_path, "image,label,impatient\na.mha,1,x\n"))
    assert [(case.patient, case.patient_is_known) for case in found.cases] == [("a", False)]


def test_of_several_such_columns_the_one_called_patient_counts(tmp_path: Path) -> None:
    found = find(folder(tmp_path, "image,label,subject,patient\na.mha,1,x,y\n"))
    assert [case.patient for case in found.cases] == ["y"]
    (problem,) = find(folder(tmp_path, "image,label,subject,PatientID\na.mha,1,x,y\n")).problems
    assert (
        "several columns say who was scanned (subject, PatientID); call the one that counts patient" in problem.reason
    )


def test_a_folder_without_a_table_says_what_to_add(tmp_path: Path) -> None:
    (problem,) = find(tmp_path).problems
    assert "holds no CSV file; add labels.csv with the columns image,label" in problem.reason


def test_an_absolute_path_inside_the_folder_is_fine(tmp_path: Path) -> None:
    assert len(find(folder(tmp_path, f"image,label\n{tmp_path}/a.mha,1\n")).cases) == 1


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none: no such folder"):
        labelled_folder_task(tmp_path / "none")
