"""Cells of protocols without a gradient, run as any other cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from ssl_bench.training.measuring import _of_subjects
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime


@pytest.mark.parametrize("row", ["scratch", "control:position"])
def test_a_measurement_is_recorded_and_comes_again_to_the_bit(
    row: str, planner: Planner, tmp_path: Path, runtime: Runtime
) -> None:
    cell = planner.evaluation(row, "shc", "match", 0)
    first, again = (
        run_cell(cell, Store(tmp_path / name), runtime, Progress(shown=False)) for name in ("first", "again")
    )
    assert isinstance(first, EvaluationRecord)
    assert isinstance(again, EvaluationRecord)
    assert first.status == "ok", first.reason
    assert (first.score, first.cases, first.beside) == (again.score, again.cases, again.beside)
    (pair,) = first.cases
    assert (pair["case"], pair["subject"], pair["partner"]) == ("test-000:test-001", "test-000", "test-001")
    assert (first.metric, first.score, first.converged) == ("match error", pair["error_mm"], True)
    assert first.beside == {
        "within 2 voxels": pair["within_2_voxels"],
        "coarse-to-fine error": pair["coarse_to_fine_error_mm"],
    }
    assert set(pair["error_mm_per_class"]) >= {"left ventricle", "ascending aorta"}
    assert (first.modules is None) == (first.health == {}) == (row != "scratch")


def test_a_pair_is_of_the_patients_whose_scans_it_holds() -> None:
    rows = [{"case": "a:b", "subject": "a", "partner": "b"}, {"case": "b:c", "subject": "b", "partner": "c"}]
    found = _of_subjects(rows, {"a": "one", "b": "two", "c": "one"})
    assert [(row["subject"], row["partner"]) for row in found] == [("a", "b"), ("b", "a")]
