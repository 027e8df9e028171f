"""Pictures as files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ssl_bench.cells.record import EvaluationRecord
from ssl_bench.cells.store import Store
from ssl_bench.files import atomic_write
from ssl_bench.report.pictures import pictures_of
from ssl_bench.report.pictures.style import slug
from ssl_bench.report.table import tables_of


def write_pictures(store: Store, folder: Path) -> list[Path]:
    """Write every picture of every table into `folder`, in one folder a table that its setting names.

    Raises UserError if they cannot be written.
    """
    written: list[Path] = []
    seen: Counter[str] = Counter()
    for table in tables_of(record for record in store.records() if isinstance(record, EvaluationRecord)):
        name = slug(table.setting.preset, table.setting.digest)
        seen[name] += 1
        inner = folder / (name if seen[name] == 1 else f"{name}-{seen[name]}")
        for picture in pictures_of(table, store):
            written.append(inner / f"{picture.name}.{picture.format}")
            with atomic_write(written[-1]) as temporary:
                temporary.write_bytes(picture.image)
    return written
