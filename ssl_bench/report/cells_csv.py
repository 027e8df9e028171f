"""Every evaluation as one line of CSV."""

from __future__ import annotations

from typing import Any

from ssl_bench.report.published import published_beside
from ssl_bench.report.results import CSV_COLUMNS, TYPES, read_results
from ssl_bench.report.table import Row
from ssl_bench.store.store import Store

PANDAS = {
    "dtype": {name: "str" for name in CSV_COLUMNS if name not in TYPES},
    "keep_default_na": False,
    "na_values": [""],
}
"""Options of ``pandas.read_csv``, under which a key of digits is no number and a method called NA is a method.

Before pandas 3, ``float_precision="round_trip"`` is needed too, or a score may lose its last bit.
"""
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(store: Store, published: bool = False) -> str:
    """One line per evaluation, nothing aggregated; with `published`, the paper's percentage in columns of its own.

    Scores have all their digits. ``row`` is the label of the cell's row in the tables: unlike ``method`` and
    ``options`` it tells apart files of one name and versions of one method. ``pandas.read_csv(file, **PANDAS)`` reads
    every column as what it is. Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    cells = read_results(store).cells
    shown = cells[list(CSV_COLUMNS)].copy()
    if published:
        found = [_published(line) for line in cells.itertuples()]
        shown["published_percent"] = [percent for percent, _ in found]
        shown["published_source"] = [source for _, source in found]
    for name in shown.columns.difference(TYPES):
        shown[name] = [harmless(value) for value in shown[name]]
    return str(shown.to_csv(index=False, lineterminator="\n"))


def harmless(value: Any) -> Any:
    """`value`, unless it is text that a spreadsheet would run or that would break its line in two."""
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(FORMULA) else "") + value.replace("\r", " ")


def _published(cell: Any) -> tuple[float | str, str]:
    # Options that tuning chose are not in the label of a row that is its method's only one.
    row = Row(cell.paradigm, cell.method, cell.options if cell.row != cell.method else "")
    found = published_beside(row, cell.preset, cell.task, cell.protocol)
    return (found.percent, f"{found.source}; on other data than this row's") if found else ("", "")
