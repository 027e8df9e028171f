"""Cells that met other cases never stand in one column, and so never meet in a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ssl_bench.api.settings import load_preset
from ssl_bench.cli import app
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.report.results import load_results
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store

PLANNER = Planner(load_preset("quick"), [], "float32")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def keep(store: Store, method: str, task: str, seed: int, digest: str, protocol: str = "linear") -> str:
    cell = PLANNER.evaluation(method, task, protocol, seed)
    values = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)", "provenance": {},
        "spec": cell.spec, "score": 0.5, "cases_digest": digest, "cases": [{"case": "test-0", "dsc": 0.5}],
    }  # fmt: skip
    store.publish(cell, EvaluationRecord.model_validate(values))
    return cell.key


FORMS = (["--format", "md"], ["--format", "latex"], ["--format", "html"], ["--pictures", "pictures"])


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_a_column_of_two_sets_of_cases_is_refused(
    form: list[str], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stale = keep(store, "gvsl", "shc", 0, "aaaa")
    for seed in range(5):
        keep(store, "scratch", "shc", seed, "bbbb")
    result = CliRunner().invoke(app, ["report", "--results", str(store.folder), "--out", "report", *form])
    assert isinstance(result.exception, UserError)
    said = str(result.exception)
    assert said.startswith(
        f"shc under linear-v2, preset quick: its cells met different cases: gvsl seed 0 [{stale}] those of digest aaaa "
        "and scratch seed 0 ["
    )
    assert " and 2 more those of digest bbbb; run those that are stale anew with --rerun all" in said
    assert "\n" not in said
    assert not (tmp_path / "report").exists()


def test_a_cell_that_does_not_say_its_cases_is_told_apart_from_those_that_do(store: Store) -> None:
    old = keep(store, "gvsl", "shc", 0, "")
    keep(store, "scratch", "shc", 0, "bbbb")
    result = CliRunner().invoke(app, ["report", "--results", str(store.folder)])
    assert f"gvsl seed 0 [{old}] no recorded ones" in str(result.exception)


def test_columns_may_differ_and_old_records_may_say_nothing(store: Store) -> None:
    for method in ("gvsl", "scratch"):
        keep(store, method, "shc", 0, "aaaa")
        keep(store, method, "sbm", 0, "bbbb")
        keep(store, method, "shc", 0, "", protocol="finetune")
    result = CliRunner().invoke(app, ["report", "--results", str(store.folder)])
    assert result.exit_code == 0, result.exception
    assert set(load_results(store.folder).cells.cases_digest) == {"aaaa", "bbbb", ""}
