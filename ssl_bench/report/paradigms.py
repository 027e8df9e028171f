"""The rows of a table summed up by how their methods learn."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass

from ssl_bench.report.cell_text import mean_rank_text
from ssl_bench.report.mean_rank import MeanRank, MeanRanks
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
    rank: MeanRank | None
    """The mean of the complete rows' mean ranks; None where none is ranked."""


def paradigm_summary(table: Table, ranks: MeanRanks) -> list[ParadigmSummary]:
    """One summary for each paradigm of `table`, whose mean ranks are `ranks`, in the order of its rows; no controls."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in table.rows:
        if not row.is_control:
            groups[row.paradigm].append(row)
    return [_summary(table, paradigm, rows, ranks) for paradigm, rows in groups.items()]


def paradigm_table(table: Table, ranks: MeanRanks) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of `paradigm_summary`, as plain text."""
    header = ["Paradigm", "Rows", *[column_title(column, table) for column in table.columns], "Mean rank"]
    rows = []
    for summary in paradigm_summary(table, ranks):
        count = f"{summary.complete}" + (f" of {summary.complete + summary.incomplete}" if summary.incomplete else "")
        means = [table.metric(column).text(summary.means[column]) if summary.means else "–" for column in table.columns]
        rows.append([summary.paradigm, count, *means, mean_rank_text(summary.rank)])
    return header, rows


def _summary(table: Table, paradigm: str, rows: list[Row], ranks: MeanRanks) -> ParadigmSummary:
    complete = [row for row in rows if row in table.complete_rows]
    means = {
        column: statistics.fmean(table.places[row, column].mean for row in complete)
        for column in table.columns
        if complete
    }
    return ParadigmSummary(paradigm, len(complete), len(rows) - len(complete), means, ranks.over(complete))
