"""Pictures as files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ssl_bench.files import atomic_write
from ssl_bench.report.comparison import baseline_label
from ssl_bench.report.pictures import pictures_of
from ssl_bench.report.pictures.style import slug
from ssl_bench.report.results import no_collection, read_results
from ssl_bench.report.table import tables_of
from ssl_bench.store.store import Store


@no_collection()
def write_pictures(store: Store, folder: Path, baseline: str | None = None, single_folds: bool = False) -> list[Path]:
    """Write every picture of every table into `folder`, in one folder a table that its setting names.

    `baseline` is the label of the row that they set the others against, scratch where it is None. Raises UserError if
    no table has it, or if they cannot be written.
    """
    tables = tables_of(read_results(store, details=True), single_folds)
    baseline = baseline_label(tables, baseline)
    written: list[Path] = []
    seen: Counter[str] = Counter()
    for table in tables:
        name = slug(table.setting.preset, table.setting.digest)
        seen[name] += 1
        inner = folder / (name if seen[name] == 1 else f"{name}-{seen[name]}")
        for picture in pictures_of(table, store, baseline):
            written.append(inner / f"{picture.name}.{picture.format}")
            with atomic_write(written[-1]) as temporary:
                temporary.write_bytes(picture.image)
    return written
