"""The rows of a table summed up by how their methods learn."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass

from ssl_bench.report.cell_text import percent
from ssl_bench.report.table import Column, Row, Table, column_title


@dataclass(frozen=True)
class ParadigmSummary:
    """What the rows of one paradigm reach together."""

    paradigm: str
    """A value of `Row.paradigm`."""
    complete: int
    """Rows with every cell of the table, over which the means are."""
    incomplete: int
    """Rows that enter no mean."""
    means: dict[Column, float]
    """The mean of the complete rows' mean scores, as fractions; empty without complete rows."""


def paradigm_summary(table: Table) -> list[ParadigmSummary]:
    """One summary for each paradigm of `table`, in the order of its rows."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in table.rows:
        groups[row.paradigm].append(row)
    return [_summary(table, paradigm, rows) for paradigm, rows in groups.items()]


def paradigm_table(table: Table) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of `paradigm_summary`, as plain text."""
    header = ["Paradigm", "Rows", *[column_title(column, table) for column in table.columns]]
    rows = []
    for summary in paradigm_summary(table):
        count = f"{summary.complete}" + (f" of {summary.complete + summary.incomplete}" if summary.incomplete else "")
        means = [percent(summary.means[column]) if summary.means else "–" for column in table.columns]
        rows.append([summary.paradigm, count, *means])
    return header, rows


def _summary(table: Table, paradigm: str, rows: list[Row]) -> ParadigmSummary:
    complete = [row for row in rows if row in table.complete_rows]
    means = {
        column: statistics.fmean(table.places[row, column].mean for row in complete)
        for column in table.columns
        if complete
    }
    return ParadigmSummary(paradigm, len(complete), len(rows) - len(complete), means)
