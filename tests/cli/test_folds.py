"""Cross-validation through the command line: planned, run, pooled in a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from tests.cli.conftest import Done, Invoke
from tests.data.test_patients_in_corpora import data_set

pytestmark = pytest.mark.usefixtures("fresh_registry")


@pytest.fixture
def hearts(tmp_path: Path) -> Path:
    """Two frames of each of six patients."""
    names = [f"patient{k}_frame{f}" for k in range(6) for f in (1, 2)]
    return data_set(tmp_path / "raw" / "Dataset001_Hearts", names)[1]


def matrix(invoke: Invoke, hearts: Path, *options: object) -> Done:
    few = [f"--set=protocols.linear.{name}=1" for name in ("steps", "validate_every")]
    coarse = "--set=data.nnunet-Dataset001_Hearts.spacing_mm=4"
    return invoke(
        "matrix", "--methods", "scratch", "--tasks", f"nnunet:{hearts}", "--protocols", "linear", "--preset", "smoke",
        *few, coarse, "--quiet", *options,
    )  # fmt: skip


def planned(done: Done) -> list[str]:
    assert done.code == 0, done.err
    return [line.rpartition("linear-v2")[2] for line in done.out.splitlines() if "to do" in line]


def test_dealt_folds_run_all_unless_some_are_named(invoke: Invoke, hearts: Path) -> None:
    dealt = ["--cross-validation", 3, "--dry-run"]
    assert planned(matrix(invoke, hearts, *dealt)) == [", seed 0", ", fold 1, seed 0", ", fold 2, seed 0"]
    assert planned(matrix(invoke, hearts, *dealt, "--folds", "1-2")) == [", fold 1, seed 0", ", fold 2, seed 0"]
    assert planned(matrix(invoke, hearts, "--dry-run")) == [", seed 0"]


def test_the_folds_of_a_file_are_an_axis(invoke: Invoke, hearts: Path, tmp_path: Path) -> None:
    file = tmp_path / "folds.json"
    assert invoke("data", "split", f"nnunet:{hearts}", "--folds", 3, "--out", file).code == 0
    assert len(planned(matrix(invoke, hearts, "--split", file, "--folds", "all", "--seeds", "0-1", "--dry-run"))) == 6
    assert planned(matrix(invoke, hearts, "--split", file, "--dry-run")) == [", seed 0"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cross-validation", 2], "--cross-validation 2: use 3 folds or more"),
        (["--cross-validation", 3, "--split", "folds.json"], "--split names folds already; leave one out"),
        (["--fold", 1, "--folds", "all"], "--fold 1: --folds all says it already; leave one out"),
        (["--cross-validation", 3, "--folds", "4"], "--fold 4: the split has folds 0 to 2"),
        (["--cross-validation", 3, "--folds", "4-"], "--folds 4-: expected numbers such as 0,1,2"),
        (["--cross-validation", 9], "leave no"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(
    invoke: Invoke, hearts: Path, options: list, said: str
) -> None:  # fmt: skip
    done = matrix(invoke, hearts, *options, "--dry-run")
    assert done.code == 2
    assert said in done.err


def test_three_folds_run_and_are_one_column_of_subjects(invoke: Invoke, hearts: Path, tmp_path: Path) -> None:
    results = ["--results", tmp_path / "results"]
    ran = matrix(invoke, hearts, "--cross-validation", 3, "--set=ranked=true", *results)
    assert ran.code == 0
    seeds = [line.partition("linear-v2")[2].strip().partition("  ")[0] for line in ran.out.splitlines()]
    assert seeds == ["seed 0", "fold 1, seed 0", "fold 2, seed 0"]
    records = [record for record in Store(tmp_path / "results").records() if isinstance(record, EvaluationRecord)]
    assert sorted(record.spec.data.fold or 0 for record in records) == [0, 1, 2]
    assert {record.cross_validation.folds for record in records if record.cross_validation} == {3}
    for record in records:
        assert [case["subject"] for case in record.cases] == [
            f"{case['case'].partition('_')[0]}_frame1" for case in record.cases
        ]
    done = invoke("report", *results)
    assert "DSC, 3 folds" in done.out
    assert "6 subjects, 12 scans of 3 folds, seed 0" in done.out
    single = invoke("report", "--single-folds", *results)
    assert "fold 2" in single.out
    assert "3 folds" not in single.out
    assert invoke("report", "--single-folds", "--format", "csv", *results).code == 2
