"""Which cells were trained at the lowest or highest learning rate of those tried, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ssl_bench.report.table import Table, column_title

MOST_NAMED = 3
"""Cells of a column; of more only their number is said."""


def edge_notes(table: Table, text: Callable[[str], str]) -> Iterator[str]:
    """One sentence about such cells, if there are any; `text` writes what records hold."""
    at_edge = table.cells[table.cells["_rate_at_edge"]]
    found = []
    for place, here in at_edge.groupby("_column"):
        every = int((table.cells["_column"] == place).sum())
        named = f" ({'; '.join(_name(cell, text) for cell in here.itertuples())})" if len(here) <= MOST_NAMED else ""
        found.append(f"{text(column_title(table.columns[place], table))} in {len(here)} of {every} cells{named}")
    if found:
        yield (
            "The learning rate that validated best was the lowest or highest of those tried, so that another might "
            f"have scored higher: {'; '.join(found)}."
        )


def _name(cell: Any, text: Callable[[str], str]) -> str:
    fold = f", fold {cell.fold}" if cell.folds > 1 else ""
    return f"{text(cell.row)}, seed {cell.seed}{fold}: {cell.learning_rate:g}"
