"""What the store keeps beside a table's records."""

from __future__ import annotations

from ssl_bench.report.table import Table
from ssl_bench.spec.record import PretrainingRecord
from ssl_bench.store.example_file import Examples, read_examples
from ssl_bench.store.store import CELL_KEY, Store


def examples_of(table: Table, store: Store) -> dict[str, Examples]:
    """The examples of the table's cells and of the pre-trainings behind them, by key."""
    keys = {record.key for record in table.records()} | table.pretraining_keys
    # A key out of a record names a file only if it is one.
    return {key: read_examples(store.examples_path(key)) for key in sorted(keys) if CELL_KEY.fullmatch(key)}


def pretrainings_of(table: Table, store: Store) -> dict[str, PretrainingRecord]:
    """The pre-trainings that the table's cells rest on, by key, as far as the store has them."""
    found = {key: store.find_record(key) for key in sorted(table.pretraining_keys)}
    return {key: record for key, record in found.items() if isinstance(record, PretrainingRecord)}
