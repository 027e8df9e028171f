"""Running cells in this process, one after the other."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from ssl_bench.cells.plan import Cell
from ssl_bench.cells.record import AnyRecord, EvaluationRecord, PretrainingRecord, kind_of_data
from ssl_bench.cells.store import Store
from ssl_bench.engine.attempt import Attempt
from ssl_bench.engine.progress import Progress
from ssl_bench.engine.runtime import Runtime, Stopwatch, provenance
from ssl_bench.errors import UserError

Rerun = Literal["missing", "failed", "all"]
"""Which cells run: those without a success, only those that failed, or every one anew."""


def run_cells(
    cells: Sequence[Cell], store: Store, runtime: Runtime, progress: Progress, rerun: Rerun = "missing"
) -> list[AnyRecord]:
    """Plan `cells` and their pre-trainings in `store`, run what `rerun` asks for, and return the cells' records.

    Each pre-training runs once and serves all its evaluations. A cell that fails leaves a record with the reason and
    the others go on. Raises UserError before anything runs if the store cannot be written.
    """
    store.check_writable()
    graph = with_pretrainings(cells)
    for cell in graph:
        store.plan(cell)
    ended: dict[str, AnyRecord] = {}
    for number, cell in enumerate(graph, 1):
        record = store.record(cell)
        if rerun == "all" or (record is None and (rerun == "missing" or store.has_failed(cell))):
            progress.say(f"[{number}/{len(graph)}] {cell.title}")
            record = run_cell(cell, store, runtime, progress, rerun == "all", ended)
            progress.say(f"[{number}/{len(graph)}] {cell.title}: {outcome(record)}")
        if record is not None:
            ended[cell.key] = record
    return [ended[cell.key] for cell in cells if cell.key in ended]


def run_cell(
    cell: Cell,
    store: Store,
    runtime: Runtime,
    progress: Progress,
    anew: bool = False,
    ended: Mapping[str, AnyRecord] = MappingProxyType({}),
) -> AnyRecord:
    """Run `cell` unless it has succeeded, after its pre-training if that is missing; keep and return the record.

    A pre-training that is among `ended` as a failure is not tried again by each evaluation that rests on it. Raises
    UserError for wrong input; any other error becomes a failure record.
    """
    done = store.record(cell)
    if done is not None and not anew and (cell.kind == "evaluation" or store.backbone_path(cell.key).exists()):
        return done
    watch = Stopwatch(runtime)
    attempt = Attempt(store.checkpoint_path(cell.key), runtime.checkpoint_seconds)
    try:
        record = _run(cell, store, runtime, progress, ended, attempt)
    except UserError:
        raise
    except Exception as error:
        record = _failure(cell, runtime, watch, error)
    store.publish(cell, record, replace=anew or done is not None)
    attempt.forget()
    return record


def with_pretrainings(cells: Iterable[Cell]) -> list[Cell]:
    """`cells` with each pre-training they rest on once, right before the first that needs it."""
    graph: dict[str, Cell] = {}
    for cell in cells:
        if cell.pretraining is not None:
            graph.setdefault(cell.pretraining.key, cell.pretraining)
        graph.setdefault(cell.key, cell)
    return list(graph.values())


def outcome(record: AnyRecord) -> str:
    """How a cell ended, in a few words."""
    seconds = f"{record.cost.get('wall_seconds', 0):.0f} s"
    if record.status == "failed":
        return f"failed after {seconds}: {record.reason}"
    if isinstance(record, EvaluationRecord):
        return f"{record.metric} {'undefined' if record.score is None else f'{record.score:.3f}'} in {seconds}"
    return f"loss {record.loss_curve[0]:.3f} -> {record.loss_curve[-1]:.3f} in {seconds}"


def _run(
    cell: Cell, store: Store, runtime: Runtime, progress: Progress, ended: Mapping[str, AnyRecord], attempt: Attempt
) -> AnyRecord:
    from ssl_bench.engine.evaluation import evaluate
    from ssl_bench.engine.pretraining import pretrain

    if cell.kind == "pretraining":
        return pretrain(cell, runtime, progress, store.backbone_path(cell.key), attempt)
    if cell.pretraining is None:
        return evaluate(cell, runtime, progress, cell.backbone_file, 0, attempt)
    pretraining = ended.get(cell.pretraining.key)
    if pretraining is None or pretraining.status == "ok":
        pretraining = run_cell(cell.pretraining, store, runtime, progress)
    if not isinstance(pretraining, PretrainingRecord) or pretraining.status == "failed":
        raise RuntimeError(f"its pre-training {pretraining.key} failed: {pretraining.reason}")
    weights = store.backbone_path(pretraining.key)
    return evaluate(cell, runtime, progress, weights, pretraining.volumes_seen, attempt)


def _failure(cell: Cell, runtime: Runtime, watch: Stopwatch, error: Exception) -> AnyRecord:
    reason = traceback.format_exception_only(error)[-1].strip().splitlines()[-1]
    common = {
        "key": cell.key,
        "status": "failed",
        "reason": reason,
        "setting": cell.setting,
        "data": kind_of_data(getattr(cell.science, "data" if cell.kind == "evaluation" else "corpus")),
        "science": cell.science,
        "cost": watch.read(),
        "provenance": provenance(runtime, cell.science.precision),
    }
    model = PretrainingRecord if cell.kind == "pretraining" else EvaluationRecord
    return model.model_validate(common)
