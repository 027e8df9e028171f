"""Rows whose options were tuned: their names, what is said of them, and that trials stay out of every table."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.api.settings import load_preset
from ssl_bench.planning.planner import Planner
from ssl_bench.report.cells_csv import write_csv
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.results import load_results
from ssl_bench.report.tuned_rows import UNTUNED, tuning_notes
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.spec.specification import ScoredOn
from ssl_bench.store.store import Store
from tests.report.made_up import StoreOf, tables

TUNED = """
[tuning]
preset = "quick"
overrides = ["pretraining.steps=9"]
protocol = "finetune-v1"
tasks = ["sbm", "shc"]
seeds = [1000, 1001]
configurations = 8
trials = {{ gvsl = "{digest}", scratch = "fedcba9876543210" }}
[methods.gvsl]
batch = 8
learning_rate = {rate}
"""


@pytest.fixture
def tuned(tmp_path: Path) -> Planner:
    return tuned_planner(tmp_path / "tuned.toml", "0123456789abcdef", 3e-4)


def tuned_planner(file: Path, digest: str, rate: float) -> Planner:
    file.write_text(TUNED.format(digest=digest, rate=rate))
    return Planner(load_preset("quick", [], file), [], "float32")


def plain(*overrides: str) -> Planner:
    return Planner(load_preset("quick", overrides), overrides, "float32")


def ended(planner: Planner, method: str, scored_on: ScoredOn = "test", seed: int = 0) -> EvaluationRecord:
    cell = planner.evaluation(method, "shc", "linear", seed, scored_on=scored_on)
    return EvaluationRecord.model_validate({
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)", "provenance": {},
        "spec": cell.spec, "score": 0.5, "paradigm": "geometric", "converged": True,
    })  # fmt: skip


def labels(*records: EvaluationRecord) -> list[str]:
    (table,) = tables(*records)
    return [row.label for row in table.rows]


def notes(*records: EvaluationRecord) -> list[str]:
    (table,) = tables(*records)
    return list(tuning_notes(table, lambda name: f"`{name}`", str))


def test_a_tuned_row_that_is_its_methods_only_one_bears_its_name(tuned: Planner) -> None:
    assert labels(ended(tuned, "gvsl"), ended(tuned, "scratch")) == ["gvsl", "scratch"]


def test_rows_of_one_method_with_different_options_have_different_names(tuned: Planner, tmp_path: Path) -> None:
    by_hand, default = plain("methods.gvsl.learning_rate=2e-4"), plain()
    records = [ended(planner, "gvsl") for planner in (tuned, by_hand, default)]
    assert labels(*records) == ["gvsl", "gvsl (learning_rate=0.0002)", "gvsl (tuned)"]
    other = tuned_planner(tmp_path / "other.toml", "aaaabbbbccccdddd", 1e-3)
    assert labels(*records, ended(other, "gvsl")) == [
        "gvsl",
        "gvsl (learning_rate=0.0002)",
        "gvsl (tuned, trials 0123456789abcdef)",
        "gvsl (tuned, trials aaaabbbbccccdddd)",
    ]


def test_a_row_whose_cells_ran_before_and_after_tuning_is_one(tuned: Planner) -> None:
    before = ended(plain("methods.gvsl.learning_rate=3e-4", "methods.gvsl.batch=8"), "gvsl")
    after = ended(tuned, "gvsl", seed=1)
    assert labels(before, after) == ["gvsl"]
    assert labels(ended(plain(), "scratch"), ended(tuned, "scratch", seed=1)) == ["scratch"]


def test_a_report_says_on_what_rows_were_tuned_and_which_were_not(tuned: Planner) -> None:
    assert notes(ended(tuned, "gvsl"), ended(tuned, "scratch"), ended(tuned, "simclr")) == [
        "Tuned on SBM, SHC by the validation score under `finetune-v1` and `pretraining.steps=9` (8 configurations a "
        "row, seeds 1000, 1001; no trial read a test case): `gvsl` (trials `0123456789abcdef`: batch=8, "
        "learning_rate=0.0003); `scratch` (trials `fedcba9876543210`: its defaults). Nothing was tuned on other "
        "tasks, nor on real data.",
        "Not tuned: `simclr`.",
    ]
    assert notes(ended(plain(), "gvsl")) == [UNTUNED]
    assert UNTUNED in write_markdown(StoreOf(ended(plain(), "gvsl")))


def test_trials_enter_no_table_no_csv_and_no_frame(tuned: Planner, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for record in (ended(tuned, "gvsl", "validation", 1000), ended(tuned, "scratch", "validation", 1001)):
        cell = tuned.evaluation(record.spec.method, "shc", "linear", record.spec.seed, scored_on="validation")
        assert store.publish(cell, record)
    assert len(list(store.evaluations())) == 2
    assert "No cell has succeeded yet." in write_markdown(store)
    assert write_csv(store).count("\n") == 1
    assert load_results(store.folder).cells.empty
