"""A method stands in one row over tasks of one channel and of several."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.api.settings import load_preset
from ssl_bench.planning.planner import Planner
from ssl_bench.report.results import read_results
from ssl_bench.report.table import tables_of
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store

PLANNER = Planner(load_preset("quick"), [], "float32")


@pytest.mark.parametrize(
    ("stems", "rows"),
    [
        (("copy",), {"gvsl (stem copy)": 2}),
        (("copy", "new"), {"gvsl": 1, "gvsl (stem copy)": 1, "gvsl (stem new)": 1}),
        ((), {"gvsl": 1}),
    ],
)
def test_a_cell_that_needs_no_stem_stands_in_the_row_of_the_one_stem(
    stems: tuple[str, ...], rows: dict[str, int], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    for task, stem in (("shc", ""), *(("sbm", stem) for stem in stems)):
        cell = PLANNER.evaluation("gvsl", task, "linear", 0)
        cell = cell.model_copy(update={"spec": cell.evaluation.model_copy(update={"stem": stem})})
        record = {
            "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)",
            "provenance": {}, "spec": cell.spec, "score": 0.5, "paradigm": "geometric", "cases": [],
        }  # fmt: skip
        store.publish(cell, EvaluationRecord.model_validate(record))
    (table,) = tables_of(read_results(store))
    assert {row.label: sum((row, column) in table.places for column in table.columns) for row in table.rows} == rows
    assert bool(table.complete_rows) == (len(stems) < 2)
