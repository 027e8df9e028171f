"""Folds of a folder's data: their splits are recomputed where all of them are there, and not vouched for elsewhere."""

from __future__ import annotations

from pathlib import Path

from ssl_bench.api.cases import SourceCase
from ssl_bench.api.settings import SplitCounts
from ssl_bench.data.splits import make_splits
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.spec.specification import DataSpec
from ssl_bench.submission.verifying import verify
from tests.submission.made_up import documents, evaluation, planner, rekeyed, write

TASK, FOLDS = "nnunet-Hearts", 3
CASES = [f"heart_{number}" for number in range(7)]


def records() -> list[EvaluationRecord]:
    """Scratch on every fold of a data set that nobody here has."""
    sources = [SourceCase(name, Path(name), Path(name), name) for name in CASES]
    splits = make_splits(TASK, sources, SplitCounts(train=1, validation=1, test=1), FOLDS)
    cell, found = planner().evaluation("scratch", "sbm", "linear-v2", 0), []
    for number, fold in enumerate(splits.folds):
        counts = SplitCounts(train=len(fold.train), validation=len(fold.validation), test=len(fold.test))
        data = DataSpec(source="folder", fingerprint="f" * 16, split=splits.digest(number), fold=number, counts=counts)
        spec = cell.evaluation.model_copy(update={"task": TASK, "data": data})
        dealt = splits.cross_validation.model_copy(update={"dealt": True})
        of_fold = cell.model_copy(update={"spec": spec})
        found.append(evaluation(of_fold, fold.test, data="real", cross_validation=dealt, split_by="case"))
    return found


def test_all_folds_pass_and_the_data_are_named_as_not_vouched_for(tmp_path: Path) -> None:
    verdict = verify(write(tmp_path / "one.zip", documents(records())))
    assert verdict.refusals == []
    assert any(doubt.startswith("voxels, labels and splits of nnunet-Hearts") for doubt in verdict.unvouched)
    assert not any("folds are here" in doubt for doubt in verdict.unvouched)


def test_a_missing_fold_leaves_the_split_unknown(tmp_path: Path) -> None:
    verdict = verify(write(tmp_path / "one.zip", documents(records()[:2])))
    assert verdict.refusals == []
    assert any("the split of nnunet-Hearts: 2 of 3 folds are here" in doubt for doubt in verdict.unvouched)


def test_cases_that_went_to_another_fold_are_refused(tmp_path: Path) -> None:
    found = documents(records())
    one, other, _ = (document["cases"] for document in found.values())
    one[0]["case"], other[0]["case"] = other[0]["case"], one[0]["case"]
    reasons = verify(write(tmp_path / "one.zip", found)).refusals
    assert any("are not the cross-validation" in reason for reason in reasons)
    assert sum("is not the split" in reason for reason in reasons) == 3


def test_a_case_that_two_folds_test_is_refused(tmp_path: Path) -> None:
    found = documents(records())
    one, other, _ = (document["cases"] for document in found.values())
    one[0]["case"] = other[0]["case"]
    reasons = verify(write(tmp_path / "one.zip", found)).refusals
    assert any(f"tests {other[0]['case']}, which is a test case of fold 0 in" in reason for reason in reasons)


def test_the_name_of_another_split_is_refused(tmp_path: Path) -> None:
    found, split = documents(records()), "0" * 16
    place = rekeyed(found, next(iter(found)), lambda document: document["science"]["data"].update(split=split))
    reasons = verify(write(tmp_path / "one.zip", found)).refusals
    assert f"{place}: fold 0 is not the split {split} that it names" in reasons
