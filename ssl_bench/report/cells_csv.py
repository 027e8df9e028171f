"""Every evaluation as one line of CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from ssl_bench.cells.record import EvaluationRecord
from ssl_bench.cells.store import Store
from ssl_bench.report.published import published_at
from ssl_bench.report.table import row_of

CSV_COLUMNS = (
    "preset", "overrides", "setting", "ranked", "data", "paradigm", "method", "options", "task",
    "label_fraction", "split", "fold", "overlap", "scene", "protocol",
    "licence", "seed", "metric", "score", "cases", "best_step", "converged", "decoder", "wall_seconds",
    "peak_process_mib", "precision", "device", "key",
)  # fmt: skip


def write_csv(store: Store, published: bool = False) -> str:
    """One line per evaluation, nothing aggregated; with `published`, the paper's percentage in columns of its own."""
    out = io.StringIO()
    records = [record for record in store.records() if isinstance(record, EvaluationRecord)]
    rows = [{**_flat(record), **(_published(record) if published else {})} for record in records]
    names = [*CSV_COLUMNS, *(("published_percent", "published_source") if published else ())]
    writer = csv.DictWriter(out, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _flat(record: EvaluationRecord) -> dict[str, Any]:
    science, row = record.science, row_of(record)
    return {
        "preset": record.setting.preset,
        "overrides": " ".join(record.setting.overrides),
        "setting": record.setting.digest,
        "ranked": record.setting.ranked,
        "data": record.data,
        "paradigm": row.paradigm,
        "method": row.method,
        "options": row.options,
        "task": science.task,
        "label_fraction": science.data.label_fraction,
        "split": getattr(science.data, "split", ""),
        "fold": getattr(science.data, "fold", 0),
        "overlap": len(record.overlap),
        "scene": record.scene,
        "protocol": science.protocol,
        "licence": record.licence,
        "seed": science.seed,
        "metric": record.metric,
        "score": record.score,
        "cases": len(record.cases),
        "best_step": record.best_step,
        "converged": record.converged,
        "decoder": record.modules.decoder if record.modules else "",
        "wall_seconds": record.cost.get("wall_seconds"),
        "peak_process_mib": record.cost.get("peak_process_mib"),
        "precision": science.precision,
        "device": record.provenance.get("device"),
        "key": record.key,
    }


def _published(record: EvaluationRecord) -> dict[str, Any]:
    row = row_of(record)
    found = None if row.options else published_at(row.method, record.science.task, record.science.protocol)
    return {
        "published_percent": found.percent if found else "",
        "published_source": f"{found.source}; on other data than this row's" if found else "",
    }
