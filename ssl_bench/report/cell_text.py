"""What a report prints of one cell of a table, in whatever format."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from ssl_bench.report.table import Row, Table
from ssl_bench.spec.record import EvaluationRecord

MARKS = {
    "†": "read through a random, frozen decoder",
    "◦": "not converged: the best validation score lies in the last tenth of the steps",
}


def percent(fraction: float, sign: str = "") -> str:
    """x 100; `sign` as in a format string. Numbers that differ in their last bits alone are printed alike."""
    return f"{round(100 * fraction, 6):{sign}.1f}"


def score_text(scores: Sequence[float]) -> str:
    """The mean of `scores` over seeds x 100, with their standard deviation where there are several."""
    mean = percent(statistics.mean(scores))
    return f"{mean} ± {100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else mean


def marks(records: Iterable[EvaluationRecord]) -> str:
    """Which of `MARKS` the seeds of one cell bear."""
    found = list(records)
    decoder = any(record.modules is not None and record.modules.decoder == "random, frozen" for record in found)
    return ("†" if decoder else "") + ("" if all(record.converged for record in found) else "◦")


def network_and_licence(table: Table, row: Row) -> tuple[str, str]:
    """Of a row whose weights come from a file."""
    record = next(record for by_seed in table.cells[row].values() for record in by_seed.values())
    return getattr(record.spec.backbone, "network", "unknown"), record.licence or "not recorded"


def mean_text(table: Table, row: Row) -> str:
    """The mean over the columns x 100; a dash where the row lacks a cell."""
    if not table.is_complete(row):
        return "–"
    return percent(statistics.mean(statistics.mean(table.scores(row, column)) for column in table.columns))
