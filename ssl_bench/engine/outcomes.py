"""How a cell ended: kept in the store, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ssl_bench.cells.plan import Cell
from ssl_bench.cells.record import AnyRecord, EvaluationRecord, PretrainingRecord, kind_of_data
from ssl_bench.cells.store import Store
from ssl_bench.cells.weights_file import tensors_digest
from ssl_bench.engine.runtime import Runtime, provenance
from ssl_bench.errors import UserError


def keep(
    cell: Cell,
    record: AnyRecord,
    store: Store,
    replace: bool = False,
    weights: Path | None = None,
    examples: Path | None = None,
) -> tuple[AnyRecord, bool]:
    """Publish `record`: the one that stands for the cell, and whether one is in the store.

    Another attempt may have been first. A success for which there is no room becomes a failure; one that cannot be
    written either is known to the caller alone.
    """
    try:
        if weights is not None and isinstance(record, PretrainingRecord) and record.status == "ok":
            record = record.model_copy(update={"backbone_sha256": tensors_digest(weights)})
        if store.publish(cell, record, replace, weights, examples):
            return record, True
        return store.record(cell) or record, True
    except (OSError, UserError) as error:
        said = why(error)
    if record.status == "failed":
        return record.model_copy(update={"reason": f"{record.reason}; not even that could be recorded: {said}"}), False
    common = record.model_dump(include={"key", "setting", "data", "science", "cost", "provenance"})
    lost = {**common, "status": "failed", "reason": f"its result cannot be written: {said}"}
    return keep(cell, type(record).model_validate(lost), store)


def outcome(record: AnyRecord) -> str:
    """How a cell ended, in a few words."""
    seconds = f"{record.cost.get('wall_seconds', 0):.0f} s"
    if record.status == "failed":
        return f"failed after {seconds}: {record.reason}"
    if isinstance(record, EvaluationRecord):
        return f"{record.metric} {'undefined' if record.score is None else f'{record.score:.3f}'} in {seconds}"
    return f"loss {record.loss_curve[0]:.3f} -> {record.loss_curve[-1]:.3f} in {seconds}"


def failed_below(pretraining: AnyRecord) -> str:
    """Why an evaluation failed whose `pretraining` did."""
    return f"its pre-training {pretraining.key} failed: {pretraining.reason}"


def failure(cell: Cell, runtime: Runtime, reason: str, cost: Mapping[str, float] = MappingProxyType({})) -> AnyRecord:
    """The record of a cell that failed for `reason`."""
    common = {
        "key": cell.key,
        "status": "failed",
        "reason": reason,
        "setting": cell.setting,
        "data": kind_of_data(getattr(cell.science, "data" if cell.kind == "evaluation" else "corpus")),
        "science": cell.science,
        "cost": dict(cost),
        "provenance": provenance(runtime, cell.science.precision),
    }
    model = PretrainingRecord if cell.kind == "pretraining" else EvaluationRecord
    return model.model_validate(common)


def why(error: OSError | UserError) -> str:
    """Why something cannot be written, in a few words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
