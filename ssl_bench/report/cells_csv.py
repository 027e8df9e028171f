"""Every evaluation as one line of CSV."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ssl_bench.report.published import published_beside
from ssl_bench.report.reading import no_collection, read_for_tables
from ssl_bench.report.table import row_of, rows_of
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store

CSV_COLUMNS = (
    "preset", "overrides", "setting", "ranked", "data", "paradigm", "method", "options", "row", "task",
    "label_fraction", "split", "fold", "overlap", "scene", "protocol",
    "licence", "seed", "metric", "score", "cases", "best_step", "converged", "decoder", "wall_seconds",
    "peak_process_mib", "precision", "device", "key",
)  # fmt: skip
NOT_TEXT = {
    "ranked", "label_fraction", "fold", "overlap", "seed", "score", "cases", "best_step", "converged", "wall_seconds",
    "peak_process_mib",
}  # fmt: skip
PANDAS = {
    "dtype": {name: "str" for name in CSV_COLUMNS if name not in NOT_TEXT},
    "keep_default_na": False,
    "na_values": [""],
}
"""Options of ``pandas.read_csv``, under which a key of digits is no number and a method called NA is a method.

Before pandas 3, ``float_precision="round_trip"`` is needed too, or a score may lose its last bit.
"""
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@no_collection()
def write_csv(store: Store, published: bool = False) -> str:
    """One line per evaluation, nothing aggregated; with `published`, the paper's percentage in columns of its own.

    Scores have all their digits. ``row`` is the label of the cell's row in the tables: unlike ``method`` and
    ``options`` it tells apart files of one name and versions of one method. ``pandas.read_csv(file, **PANDAS)`` reads
    every column as what it is. Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    out = io.StringIO()
    records = [record for record in read_for_tables(store) if isinstance(record, EvaluationRecord)]
    labels = _labels(records)
    rows = [
        {**_flat(record), "row": labels[record.key], **(_published(record) if published else {})} for record in records
    ]
    names = [*CSV_COLUMNS, *(("published_percent", "published_source") if published else ())]
    writer = csv.DictWriter(out, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _harmless(value: Any) -> Any:
    """`value`, unless it is text that a spreadsheet would run or that would break its line in two."""
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(FORMULA) else "") + value.replace("\r", " ")


def _labels(records: Iterable[EvaluationRecord]) -> dict[str, str]:
    """The label of each record's row, by the record's key. What rows are told apart by depends on their table."""
    tables: dict[tuple[str, str], list[EvaluationRecord]] = defaultdict(list)
    for record in records:
        tables[record.setting.digest, record.data].append(record)
    return {
        record.key: row.label for found in tables.values() for record, row in zip(found, rows_of(found), strict=True)
    }


def _flat(record: EvaluationRecord) -> dict[str, Any]:
    spec, row = record.spec, row_of(record)
    return {
        "preset": record.setting.preset,
        "overrides": " ".join(record.setting.overrides),
        "setting": record.setting.digest,
        "ranked": record.setting.ranked,
        "data": record.data,
        "paradigm": row.paradigm,
        "method": row.method,
        "options": row.options,
        "task": spec.task,
        "label_fraction": spec.data.label_fraction,
        "split": spec.data.split,
        "fold": spec.data.fold or 0,
        "overlap": len(record.overlap),
        "scene": record.scene,
        "protocol": spec.protocol,
        "licence": record.licence,
        "seed": spec.seed,
        "metric": record.metric,
        "score": record.score,
        "cases": len(record.cases),
        "best_step": record.best_step,
        "converged": record.converged,
        "decoder": record.modules.decoder if record.modules else "",
        "wall_seconds": record.cost.get("wall_seconds"),
        "peak_process_mib": record.cost.get("peak_process_mib"),
        "precision": spec.precision,
        "device": record.provenance.get("device"),
        "key": record.key,
    }


def _published(record: EvaluationRecord) -> dict[str, Any]:
    row = row_of(record)
    found = published_beside(row, record.setting.preset, record.spec.task, record.spec.protocol)
    return {
        "published_percent": found.percent if found else "",
        "published_source": f"{found.source}; on other data than this row's" if found else "",
    }
