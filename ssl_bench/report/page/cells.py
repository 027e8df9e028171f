"""The places of a table: what each prints, and what stands behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ssl_bench.report.cell_text import interval_text, p_text, score_text
from ssl_bench.report.comparison import ColumnStatistics
from ssl_bench.report.page.configuration import Blocks
from ssl_bench.report.page.details import Described, evaluation_detail
from ssl_bench.report.page.model import Entry
from ssl_bench.report.significance import rank_interval
from ssl_bench.report.table import MARKS, Column, Row, Table
from ssl_bench.spec.record import EvaluationRecord


def cell_id(table: Table, row: Row, column: Column, table_id: str) -> str:
    """Where on the page the cell's details stand: after the key of its first seed."""
    return f"{table_id}-{table.lines(column, row)['key'].iloc[0]}"


def cell_of(
    table: Table,
    row: Row,
    column: Column,
    best: Collection[Row],
    tests: ColumnStatistics | None,
    described: Mapping[str, Described[EvaluationRecord]],
    blocks: Blocks,
    table_id: str,
) -> Entry | None:
    """What `row` has in `column`; None where it has nothing.

    `best` are the best rows of the column; `tests` is None in a table that is not ranked; `described` are the
    evaluations by key.
    """
    place = table.places.get((row, column))
    if place is None:
        return None
    summary = tests.summaries.get(row) if tests else None
    standing = tests.standings.get(row) if tests else None
    difference = tests.differences.get(row) if tests else None
    metric = table.metric(column)
    value, _, bounds = interval_text(difference.estimate, metric, "+").partition(" ") if difference else ("", "", "")
    p = tests.difference_p[row] if tests and difference else float("nan")
    number = float(difference.estimate.value) if difference else float("nan")
    return Entry(
        id=cell_id(table, row, column, table_id),
        score=score_text(place, metric) if place.scored else "undefined",
        marks=[(mark, MARKS[mark]) for mark in place.marks] if place.scored else [],
        best=row in best,
        may_be_best=standing is not None and standing.first == 1,
        interval=interval_text(summary.estimate, metric).partition(" ")[2] if summary else "",
        rank=rank_interval(standing) if standing else "",
        difference=value,
        difference_interval=bounds,
        p=p_text(p) if difference else "",
        direction="" if not p < 0.05 else "better" if metric.sign * number > 0 else "worse",
        score_number=metric.factor * place.mean if place.scored else None,
        difference_number=None if number != number else metric.factor * number,
        details=[evaluation_detail(described[key], blocks, table_id) for key in table.lines(column, row)["key"]],
    )
