"""Splits: patients whole, classes in proportion, counts met, the same wherever the data lie."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from ssl_bench.api.cases import SPLITS, SourceCase
from ssl_bench.api.settings import SplitCounts
from ssl_bench.data.split_files import read_splits, write_splits
from ssl_bench.data.splits import Splits, make_splits, nested_subset, split_of
from ssl_bench.errors import UserError

PAPER = SplitCounts(train=10, validation=4, test=6)


def cases(count: int, positive: int = 0, per_patient: int = 1, split: str | None = None) -> list[SourceCase]:
    return [
        SourceCase(f"c{index:04d}", Path(f"{index}.mha"), int(index < positive), f"p{index // per_patient}", split)
        for index in range(count)
    ]


def sizes(splits: Splits, fold: int = 0) -> list[int]:
    return [len(split_of(splits, fold, name)) for name in SPLITS]


def test_the_papers_counts_are_met_where_the_data_set_is_whole() -> None:
    assert sizes(make_splits("shc", cases(20), PAPER)) == [10, 4, 6]


@pytest.mark.parametrize("positive", [1, 795, 1205])
def test_counts_are_met_and_classes_kept_in_proportion_for_a_classification(positive: int) -> None:
    counts = SplitCounts(train=1000, validation=400, test=600)
    splits = make_splits("ccc", cases(2000, positive), counts)
    assert sizes(splits) == [1000, 400, 600]
    for name, size in zip(SPLITS, (1000, 400, 600), strict=True):
        found = sum(int(identifier[1:]) < positive for identifier in split_of(splits, 0, name))
        assert abs(found - positive * size / 2000) < 1


def test_fewer_cases_are_dealt_in_proportion() -> None:
    assert sizes(make_splits("shc", cases(10), PAPER)) == [5, 2, 3]
    assert sizes(make_splits("shc", cases(3), PAPER)) == [1, 1, 1]


def test_a_split_does_not_depend_on_the_order_or_place_of_files() -> None:
    first, again = cases(20), [SourceCase(c.identifier, Path("x") / c.image, 0, c.patient) for c in cases(20)][::-1]
    digests = {make_splits("shc", found, PAPER).digest(0) for found in (first, again)}
    assert len(digests) == 1
    assert make_splits("shc", first, PAPER, seed=1).digest(0) not in digests


@pytest.mark.parametrize("folds", [1, 4])
def test_a_patient_is_never_in_two_splits(folds: int) -> None:
    found = cases(40, positive=11, per_patient=3)
    patient = {case.identifier: case.patient for case in found}
    splits = make_splits("x", found, PAPER, folds)
    for fold in range(folds):
        parts = [{patient[name] for name in split_of(splits, fold, split)} for split in SPLITS]
        assert sum(map(len, parts)) == len(set.union(*parts))


def test_folds_test_every_case_once() -> None:
    splits = make_splits("shc", cases(20), PAPER, folds=5)
    tested = [name for fold in range(5) for name in split_of(splits, fold, "test")]
    assert sorted(tested) == [case.identifier for case in cases(20)]


def test_the_data_sets_own_test_cases_stay_test_cases() -> None:
    own = [SourceCase(f"t{k}", Path("t"), 0, f"t{k}", "test") for k in range(3)]
    splits = make_splits("x", [*cases(14), *own], PAPER)
    assert sizes(splits) == [10, 4, 3]
    assert split_of(splits, 0, "test") == ("t0", "t1", "t2")
    with pytest.raises(UserError, match="fixes its test cases"):
        make_splits("x", own, PAPER, folds=2)


@pytest.mark.parametrize("per_patient", [1, 2, 3])
@pytest.mark.parametrize("patients", [(11, 11, 11, 11, 11), (20, 20, 20, 20, 19), (5, 6, 7, 8, 9, 13, 21)])
def test_the_rounding_of_small_classes_does_not_add_up(patients: tuple[int, ...], per_patient: int) -> None:
    """Folds differ by at most a patient, as a whole and in each class; each has every class."""
    found = [
        SourceCase(f"{group}-{number}-{scan}", Path("x"), group, f"{group}-{number}")
        for group, count in enumerate(patients)
        for number in range(count)
        for scan in range(per_patient)
    ]
    splits = make_splits("x", found, PAPER, folds=5)
    tested = [split_of(splits, fold, "test") for fold in range(5)]
    assert max(map(len, tested)) - min(map(len, tested)) <= per_patient
    for group in range(len(patients)):
        own = [sum(name.startswith(f"{group}-") for name in names) for names in tested]
        assert max(own) - min(own) <= per_patient
        assert min(own) > 0
    whole = make_splits("x", found, PAPER)
    sizes_wanted = [len(found) * share / 20 for share in (10, 4, 6)]
    assert all(abs(size - wanted) < 1.5 * per_patient for size, wanted in zip(sizes(whole), sizes_wanted, strict=True))


def test_splits_that_records_name_stay_as_they_were() -> None:
    """Of segmentations and of two classes: a split is part of a cell's key."""
    found = [SourceCase(f"c{n:03d}", Path("x"), int(n % 3 == 0), f"p{n // 2:03d}") for n in range(37)]
    one_class = [SourceCase(case.identifier, case.image, None, case.patient) for case in found]
    assert make_splits("x", found, PAPER).digest(0) == "d7055159a3001d38"
    assert make_splits("x", found, PAPER, 5).digest(4) == "c5fd6aefad23d005"
    assert make_splits("x", one_class, PAPER).digest(0) == "090909cbdff6ae87"
    assert make_splits("x", one_class, PAPER, 5).digest(4) == "64dfd96f25f1dd9a"


def test_too_few_cases_are_refused() -> None:
    with pytest.raises(UserError, match="2 cases of 2 patients leave no"):
        make_splits("shc", cases(2), PAPER)


def test_a_written_split_reads_back(tmp_path: Path) -> None:
    splits = make_splits("shc", cases(20), PAPER, folds=3)
    write_splits(splits, tmp_path / "split.json")
    assert read_splits(tmp_path / "split.json", "shc", cases(20), PAPER) == splits


def fold(train: str = "c0000", validation: str = "c0002", test: str = "c0004") -> str:
    text = ", ".join(f'"{name}": ["{value}"]' for name, value in zip(SPLITS, (train, validation, test), strict=True))
    return f'{{"format": "ssl-bench split 1", "task": "x", "note": "", "folds": [{{{text}}}]}}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "json"),
        ('{"format": "ssl-bench split 2"}', "format"),
        (fold().replace('["c0004"]', "[]"), "folds.0.test"),
        (fold(test="nobody"), "'nobody' is not in the data"),
        (fold(test="c0001"), "patient 'p0' is in train and in test (c0000 and c0001)"),
        (fold(validation="c0000"), "patient 'p0' is in train and in validation"),
        (fold().replace('["c0004"]', '["c0004", "c0004"]'), "fold 0: case 'c0004' is twice in test; keep one"),
    ],
)
def test_a_split_file_that_does_not_fit_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"split\.json") as caught:
        read_splits(path, "x", cases(6, per_patient=2), PAPER)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_patient_on_both_sides_of_the_data_sets_own_test_cases_is_refused() -> None:
    own = SourceCase("t", Path("t.mha"), 0, "p3", "test")
    with pytest.raises(
        UserError, match=r"t\.mha: patient 'p3' is in the data set's test cases \(t\) and in the others"
    ):
        make_splits("x", [*cases(14), own], PAPER)


NNUNET = [{"train": [f"c{n:04d}" for n in range(8)], "val": ["c0008", "c0009"]}, {"train": ["c0000"], "val": ["c0001"]}]


def nnunet_folds(folder: Path, folds: object, found: list[SourceCase]) -> Splits:
    path = folder / "splits_final.json"
    path.write_text(json.dumps(folds))
    return read_splits(path, "x", found, SplitCounts(train=3, validation=1, test=1))


def test_nnunets_folds_are_tested_on_val_and_validated_on_a_part_of_train(tmp_path: Path) -> None:
    splits = nnunet_folds(tmp_path, NNUNET[:1], cases(10, per_patient=2))
    assert split_of(splits, 0, "test") == ("c0008", "c0009")
    validation, train = set(split_of(splits, 0, "validation")), set(split_of(splits, 0, "train"))
    assert (len(train), len(validation)) == (6, 2)
    assert train | validation == set(NNUNET[0]["train"])
    assert len({case.patient for case in cases(10, per_patient=2) if case.identifier in validation}) == 1


def test_nnunets_folds_leave_the_data_sets_own_test_cases_alone(tmp_path: Path) -> None:
    own = [SourceCase(f"t{k}", Path("t"), 0, f"t{k}", "test") for k in range(3)]
    splits = nnunet_folds(tmp_path, NNUNET, [*cases(10), *own])
    assert [sizes(splits, fold) for fold in (0, 1)] == [[8, 2, 3], [1, 1, 3]]
    assert split_of(splits, 1, "validation") == ("c0001",)


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        ([], "holds no fold"),
        ([{"train": ["c0000"]}], "0.val: field required; nnU-Net's folds are a list of train and val"),
        ([{"train": ["c0000"], "val": []}], "0.val: tuple should have at least 1 item"),
        ([{"train": ["c0000", "x"], "val": ["c0001"]}], "fold 0: case 'x' is not in the data"),
        ([{"train": ["c0000"], "val": ["c0004"]}], "fold 0: has too few train cases to validate on"),
        ([{"train": ["c0000", "c0002", "c0004"], "val": ["c0001"]}], "patient 'p0' is in"),
        ([{"train": ["c0000", "c0002"], "val": ["c0004", "c0004"]}], "fold 0: case 'c0004' is twice in test"),
    ],
)
def test_nnunets_folds_that_do_not_fit_are_refused(folds: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--split .*splits_final\.json: ") as caught:
        nnunet_folds(tmp_path, folds, cases(6, per_patient=2))
    assert said in str(caught.value)


def test_label_fractions_are_nested_and_keep_every_class() -> None:
    names = [f"c{index}" for index in range(100)]
    strata = [int(index < 10) for index in range(100)]
    subsets = [set(nested_subset(names, strata, fraction)) for fraction in (0.01, 0.1, 0.5, 1.0)]
    assert [len(subset) for subset in subsets] == [2, 10, 50, 100]
    assert all(small < large for small, large in pairwise(subsets))
    assert all({strata[names.index(name)] for name in subset} == {0, 1} for subset in subsets)
    assert nested_subset(names, strata, 0.5) == [name for name in names if name in subsets[2]]
