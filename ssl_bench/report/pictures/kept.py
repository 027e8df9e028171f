"""What the store keeps beside a table's records."""

from __future__ import annotations

from ssl_bench.report.table import Table
from ssl_bench.store.example_file import Examples, read_examples
from ssl_bench.store.store import CELL_KEY, Store


def examples_of(table: Table, store: Store) -> dict[str, Examples]:
    """The examples of the table's cells and of the pre-trainings behind them, by key."""
    keys = set(table.cells["key"]) | table.pretraining_keys
    # A key out of a record names a file only if it is one.
    return {key: read_examples(store.examples_path(key)) for key in sorted(keys) if CELL_KEY.fullmatch(key)}
