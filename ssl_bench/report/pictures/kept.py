"""What the store keeps beside a table's records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from ssl_bench.report.pictures.measures import columns_by_protocol
from ssl_bench.report.table import Column, Row, Table
from ssl_bench.store.example_file import Examples, read_examples
from ssl_bench.store.store import CELL_KEY, Store

Part = TypeVar("Part")


def examples_of(table: Table, store: Store) -> dict[str, Examples]:
    """The examples of the table's cells and of the pre-trainings behind them, by key."""
    keys = set(table.cells["key"]) | table.pretraining_keys
    # A key out of a record names a file only if it is one.
    return {key: read_examples(store.examples_path(key)) for key in sorted(keys) if CELL_KEY.fullmatch(key)}


def kept_by_column(
    table: Table, examples: Mapping[str, Examples], part: Callable[[Examples], Part | None]
) -> Iterator[tuple[Column, dict[Row, Part]]]:
    """Each column of which a row kept that `part` of its examples, and what each row kept of it.

    `examples` are those of every cell by its key; of a row's cells the one of the lowest seed and fold counts.
    """
    for columns in columns_by_protocol(table).values():
        for column in columns:
            keys = ((row, table.lines(column, row)["key"]) for row in table.rows)
            found = {row: part(examples.get(own.iloc[0], Examples())) for row, own in keys if len(own)}
            if shown := {row: kept for row, kept in found.items() if kept}:
                yield column, shown
