"""How a cell ended: kept in the store, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import TRACEBACK_CHARACTERS, AnyRecord, EvaluationRecord, PretrainingRecord, kind_of_data
from ssl_bench.store.store import Store
from ssl_bench.training.runtime import Runtime, provenance
from ssl_bench.weights.digest import tensors_digest


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
    common = record.model_dump(include={"key", "setting", "data", "spec", "cost", "provenance"})
    lost = {**common, "status": "failed", "reason": f"its result cannot be written: {said}"}
    return keep(cell, type(record).model_validate(lost), store)


def outcome(record: AnyRecord) -> str:
    """How a cell ended, in a few words."""
    seconds = f"{record.cost.get('wall_seconds', 0):.0f} s"
    if record.status == "failed":
        return f"failed after {seconds}: {record.reason}"
    if isinstance(record, EvaluationRecord):
        return f"{record.metric} {'undefined' if record.score is None else f'{record.score:.3f}'} in {seconds}"
    collapsed = ", ".join(stage.name for stage in record.collapsed)
    fell = f"loss {record.loss_curve[0]:.3f} -> {record.loss_curve[-1]:.3f} in {seconds}"
    return f"{fell}, collapsed: {collapsed}" if collapsed else fell


def failed_below(pretraining: AnyRecord) -> str:
    """Why an evaluation failed whose `pretraining` did."""
    return f"its pre-training {pretraining.key} failed: {pretraining.reason}"


def failure(
    cell: Cell,
    runtime: Runtime,
    reason: str,
    cost: Mapping[str, float] = MappingProxyType({}),
    traceback: str = "",
) -> AnyRecord:
    """The record of a cell that failed for `reason`, where `traceback` says."""
    common = {
        "key": cell.key,
        "status": "failed",
        "reason": reason,
        "traceback": traceback[-TRACEBACK_CHARACTERS:],
        "setting": cell.setting,
        "data": kind_of_data(cell.spec.data),
        "spec": cell.spec,
        "cost": dict(cost),
        "provenance": provenance(runtime, cell.spec.precision),
    }
    model = PretrainingRecord if cell.kind == "pretraining" else EvaluationRecord
    return model.model_validate(common)


def why(error: OSError | UserError) -> str:
    """Why something cannot be written, in a few words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
