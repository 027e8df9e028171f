"""Stores of records that need not be on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ssl_bench.report.results import read_results
from ssl_bench.report.table import Table, tables_of
from ssl_bench.spec.record import AnyRecord
from ssl_bench.store.store import Store


class StoreOf(Store):
    """Holds `records`, as its files would, whatever they are called; no file is written."""

    def __init__(self, *records: AnyRecord, failed: Iterable[AnyRecord] = (), folder: Path = Path("nowhere")) -> None:
        super().__init__(folder)
        self._held, self._failed = records, failed

    def read(self, kind: str, parse: Callable[[bytes], Any]) -> Iterator[Any]:
        parsed = (parse(as_json(record)) for record in self._held if record.kind == kind)
        return (one for one in parsed if one is not None)

    def failures(self) -> Iterator[AnyRecord]:
        return iter(self._failed)


def as_json(record: AnyRecord) -> bytes:
    """As the store writes it; NaN as JSON lacks it."""
    return json.dumps(json.loads(record.model_dump_json()), indent=1).encode()


def tables(*records: AnyRecord) -> list[Table]:
    """The tables that `records` make."""
    return tables_of(read_results(StoreOf(*records)))


def detailed_table(*records: AnyRecord) -> Table:
    """The one table that `records` make, with all that pictures need."""
    (table,) = tables_of(read_results(StoreOf(*records), details=True))
    return table
