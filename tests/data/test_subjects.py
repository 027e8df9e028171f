"""Who was scanned: names in known layouts, a pattern or a table; and other scans of a patient in a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.api.cases import Found, SourceCase
from ssl_bench.api.settings import SplitCounts
from ssl_bench.data.splits import make_splits, split_by
from ssl_bench.data.subjects import named_patient, scans_of, spelling, with_subjects
from ssl_bench.errors import UserError

ROOT = Path("data")
FRAMES = [f"patient{number:03d}_frame{frame}" for number in range(10) for frame in ("01", "12")]
COUNTS = SplitCounts(train=3, validation=1, test=1)


def unknown(*names: str) -> list[SourceCase]:
    """Cases of nnU-Net's, of which nothing says who was scanned."""
    return [
        SourceCase(name, ROOT / f"imagesTr/{name}_0000.nii.gz", ROOT / "l", name, patient_is_known=False)
        for name in names
    ]


def subjects(cases: list[SourceCase], said: str = "") -> list[str]:
    return [case.patient for case in with_subjects(Found(cases, []), ROOT, said).cases]


@pytest.mark.parametrize(
    ("path", "patient"),
    [
        ("patient001/patient001_frame01", "patient001"),
        ("patient001frame01", "patient001"),
        ("sub-01/ses-1/anat/sub-01_ses-1_T1w", "sub-01"),
        ("sub-ctrl7_run-2_bold", "sub-ctrl7"),
        ("Subject_12_left", "Subject_12"),
        ("Patient-001__week-000-1", "Patient-001"),
        ("heart_001_ed", "heart_001"),
        ("heart_001_es_0000", "heart_001"),
        ("A0S9V9_ED", "A0S9V9"),
        ("brain_2_tp1", "brain_2"),
        ("HC_001_pre", "HC_001"),
        ("hip_001_L", "hip_001"),
        ("ward/0012/scan2", "ward/0012"),
        ("case_0001_visit1", "case_0001"),
        ("K7_t0", "K7"),
        ("visits/P07/b", "P07"),
        ("OAS1_0001_MR1", "OAS1_0001"),
        ("OAS30001_MR_d0129", "OAS30001"),
        ("BraTS-GLI-00005-001", "BraTS-GLI-00005"),
        ("TCGA-DD-A1EG_portal", "TCGA-DD-A1EG"),
        ("LIDC-IDRI-0001", "LIDC-IDRI-0001"),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00001"),
        ("002_S_0295_bl", "002_S_0295"),
        ("IXI002-Guys-0828-T1", "IXI002"),
    ],
)
def test_known_layouts_name_a_patient(path: str, patient: str) -> None:
    assert named_patient(path) == patient


@pytest.mark.parametrize(
    "path", ["liver_3", "hippocampus_001", "1001", "ct_scan_001", "case_00001", "subset0/1.3.6.1", "sub-cortical_1"]
)
def test_a_number_alone_is_nobody(path: str) -> None:
    assert named_patient(path) is None


def test_frames_of_one_patient_are_dealt_together() -> None:
    found = with_subjects(Found(unknown(*FRAMES), []), ROOT).cases
    assert split_by(found) == "patient"
    for folds in (1, 5):
        splits = make_splits("x", found, COUNTS, folds)
        assert ", by patient, seed 0" in splits.note
        for fold in splits.folds:
            parts = [{name[:10] for name in part} for part in (fold.train, fold.validation, fold.test)]
            assert sum(map(len, parts)) == len(set.union(*parts)) == 10


@pytest.mark.parametrize(
    "names", [("P001", "p001", "P1", "P-01", "p_1", "P 1"), ("007", "7", "7.0"), ("patient_12", "Patient012")]
)
def test_one_patient_may_be_spelt_in_several_ways(names: tuple[str, ...]) -> None:
    assert len({spelling(name) for name in names}) == 1
    cases = [SourceCase(f"c{number}", ROOT / f"{number}.nii", 0, name) for number, name in enumerate(names)]
    others = [SourceCase(f"x{number}", ROOT / f"x{number}.nii", 0, f"other{number}") for number in range(8)]
    found = with_subjects(Found([*cases, *others], []), ROOT).cases
    assert {case.patient for case in found[: len(names)]} == {names[0]}
    (fold,) = make_splits("x", found, COUNTS).folds
    assert sum(any(name.startswith("c") for name in part) for part in (fold.train, fold.validation, fold.test)) == 1


def test_other_numbers_are_other_patients() -> None:
    names = ("1", "10", "100", "1-11", "11-1", "1.05", "1.5", "a10", "a1", "a-b1", "ab1", "sub-01/a", "sub-02/a")
    assert len({spelling(name) for name in names}) == len(names)


def test_a_split_by_case_says_so() -> None:
    cases = with_subjects(Found(unknown(*(f"liver_{number}" for number in range(12))), []), ROOT).cases
    assert split_by(cases) == "case"
    assert make_splits("x", cases, COUNTS).note == "3/1/1 in proportion, over 12 cases, by case, seed 0"


def test_a_name_that_says_nothing_leaves_the_whole_split_one_by_case() -> None:
    cases = with_subjects(Found(unknown(*FRAMES, "liver_1"), []), ROOT).cases
    assert split_by(cases) == "case"
    assert subjects(cases)[:2] == ["patient000", "patient000"]


def test_a_split_of_one_scan_each_stays_what_it_was() -> None:
    before = unknown(*FRAMES[::2])
    digest = make_splits("x", before, COUNTS).digest(0)
    # As it was before it was asked who was scanned.
    assert digest == "b9512f63e0770cd6"
    for said in ("", r"patient\d+", ".+"):
        found = with_subjects(Found(before, []), ROOT, said).cases
        assert split_by(found) == "patient"
        assert make_splits("x", found, COUNTS).digest(0) == digest


def test_a_pattern_says_the_patient_by_its_group_or_wholly() -> None:
    cases = unknown("crop_011", "crop_012", "crop_021")
    assert subjects(cases, r"crop_(\d\d)\d") == ["01", "01", "02"]
    assert subjects(cases, r"crop_\d\d") == ["crop_01", "crop_01", "crop_02"]
    assert subjects(cases, r"imagesTr/(.*)_0000") == ["crop_011", "crop_012", "crop_021"]
    assert subjects(unknown(*FRAMES[:2]), ".+") == FRAMES[:2]


def test_a_table_says_the_patient_by_the_name_of_a_case_or_its_file(tmp_path: Path) -> None:
    table = tmp_path / "who.csv"
    table.write_text("case,Subject ID\na,p1\nb_0000.nii.gz,p1\nimagesTr/c_0000.nii.gz,p2\nother,p3\n")
    assert subjects(unknown("a", "b", "c"), str(table)) == ["p1", "p1", "p2"]


@pytest.mark.parametrize(
    ("said", "table", "message"),
    [
        ("(", None, r"--subjects \(: is no regular expression"),
        (r"b\d", None, r"--subjects b\\d: says no patient for case 'a'"),
        ("a()", None, "says no patient for case 'a'"),
        ("who.csv", None, r"--subjects .*who\.csv: cannot be read"),
        ("who.csv", "case,site\na,x\n", r"who\.csv: has no column subject"),
        ("who.csv", "name,subject\na,x\n", r"who\.csv: has no column case, only name, subject"),
        ("who.csv", "case,subject\nb,x\n", "says no patient for case 'a'"),
        ("who.csv", "case,subject\na,\n", r"who\.csv: line 2: subject is empty; fill it in"),
        ("who.csv", "case,subject\na,x\na,y\n", r"who\.csv: line 3: a is 'x' already; keep one"),
        ("who.csv", "case,subject,patient id\na,x,y\n", r"several columns say who was scanned \(subject, patient id\)"),
    ],
)
def test_what_says_nobody_is_refused(said: str, table: str | None, message: str, tmp_path: Path) -> None:
    if said == "who.csv":
        said = str(tmp_path / said)
    if table is not None:
        Path(said).write_text(table)
    with pytest.raises(UserError, match=message):
        subjects(unknown("a"), said)


def corpus(*paths: str) -> list[SourceCase]:
    return [SourceCase(path, ROOT / path, 0, path, patient_is_known=False) for path in paths]


@pytest.mark.parametrize(
    ("patient", "path"),
    [
        ("patient003", "patient003_frame05.nii.gz"),
        ("patient003", "more/scan_of_patient003.nii.gz"),
        ("sub-01", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz"),
        ("BraTS-GLI-00005", "BraTS-GLI-00005-001.nii.gz"),
        ("HC-7b", "wards/HC-7b/later.mha"),
        ("HC-7b", "HC-7b.later.mha"),
    ],
)
def test_another_scan_of_a_patient_is_found_by_name(patient: str, path: str) -> None:
    ((scan, found),) = scans_of(
        {patient, "someone-9"}, corpus("x/other_patient0031.nii", path, "HC-7.nii"), ROOT, False
    )
    assert (scan.image, found) == (ROOT / path, patient)


def test_a_bare_number_is_a_patient_within_the_same_data_set_alone() -> None:
    scans = corpus("12/a.nii", "120/a.nii", "later/12_b.nii")
    assert scans_of({"12"}, scans, ROOT, False) == []
    assert [scan.identifier for scan, _ in scans_of({"12"}, scans, ROOT, True)] == ["12/a.nii", "later/12_b.nii"]


def test_a_corpus_whose_table_spells_a_patient_otherwise_is_found() -> None:
    scans = [SourceCase("s", ROOT / "s.nii", 0, "p-7"), SourceCase("t", ROOT / "t.nii", 0, "p70")]
    found = scans_of({"P007"}, scans, ROOT, beside=False)
    assert [(scan.identifier, patient) for scan, patient in found] == [("s", "P007")]


def test_what_the_user_says_of_the_cases_holds_for_the_corpus(tmp_path: Path) -> None:
    scans = corpus("crop_012.nii", "crop_021.nii")
    assert [scan.identifier for scan, _ in scans_of({"01"}, scans, ROOT, False, r"crop_(\d\d)\d")] == ["crop_012.nii"]
    table = tmp_path / "who.csv"
    table.write_text("case,subject\ntested,A\ncrop_021,A\n")
    assert [scan.identifier for scan, _ in scans_of({"A"}, scans, ROOT, False, str(table))] == ["crop_021.nii"]
