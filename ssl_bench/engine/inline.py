"""Running cells in this process, one after the other."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import MappingProxyType
from typing import Literal

from ssl_bench.cells.lease import Lease, holder
from ssl_bench.cells.plan import Cell
from ssl_bench.cells.record import AnyRecord, EvaluationRecord, PretrainingRecord, kind_of_data
from ssl_bench.cells.store import Store
from ssl_bench.engine.attempt import Attempt, Stopped, TakenOver
from ssl_bench.engine.progress import Progress
from ssl_bench.engine.runtime import Runtime, Stopwatch, provenance
from ssl_bench.engine.stopping import Stop, stop_by_signal
from ssl_bench.errors import UserError

Rerun = Literal["missing", "failed", "all"]
"""Which cells run: those without a success, only those that failed, or every one anew."""

PLANNING_THREADS = 16
"""Plans are small files: writing one waits for the disk, writing many at once waits as long."""

POLL_SECONDS = 2.0
"""Between two looks at cells that other processes work on."""


def run_cells(
    cells: Sequence[Cell], store: Store, runtime: Runtime, progress: Progress, rerun: Rerun = "missing"
) -> list[AnyRecord]:
    """Plan `cells` and their pre-trainings in `store`, run what `rerun` asks for, and return the cells' records.

    Each pre-training runs once and serves all its evaluations. A cell that fails leaves a record with the reason and
    the others go on; one that another process works on comes last. Raises UserError before anything runs if the store
    cannot be written, Stopped if a signal asks for it.
    """
    graph, ended = plan_all(cells, store, rerun)
    places = {cell.key: f"[{number}/{len(graph)}] {cell.title}" for number, cell in enumerate(graph, 1)}
    queue = [cell for cell in graph if cell.key not in ended and is_wanted(cell, store, rerun)]
    seen: set[str] = set()
    with stop_by_signal() as stop:
        while queue:
            left = []
            for cell in queue:
                place, new = places[cell.key], cell.key not in seen
                seen.add(cell.key)
                if new:
                    progress.say(place)
                try:
                    ended[cell.key] = run_cell(cell, store, runtime, progress, rerun == "all", ended, stop)
                except TakenOver as taken:
                    left.append(cell)
                    if new:
                        progress.say(f"{place}: {taken}; it comes last")
                else:
                    progress.say(f"{place}: {outcome(ended[cell.key])}")
            if len(left) == len(queue):
                time.sleep(POLL_SECONDS)
            queue = left
    return [ended[cell.key] for cell in cells if cell.key in ended]


def run_cell(
    cell: Cell,
    store: Store,
    runtime: Runtime,
    progress: Progress,
    anew: bool = False,
    ended: Mapping[str, AnyRecord] = MappingProxyType({}),
    stop: Stop | None = None,
) -> AnyRecord:
    """Run `cell` unless it has succeeded, after its pre-training if that is missing; keep and return the record.

    A pre-training that is among `ended` as a failure is not tried again by each evaluation that rests on it. Raises
    UserError for wrong input, Stopped if `stop` (by default: a signal) asks for it, TakenOver if another process works
    on the cell or on its pre-training; any other error becomes a failure record.
    """
    if not anew and (done := _kept(cell, store)):
        return done
    with nullcontext(stop) if stop else stop_by_signal() as stop:
        if stop.reason:
            raise Stopped(stop.reason)
        if other := holder(store.lease_path(cell.key)):
            raise TakenOver(f"{other} works on it")
        with Lease(store.lease_path(cell.key)) as lease:
            # Whoever held the lease a moment ago may have ended the cell.
            if not anew and (done := _kept(cell, store)):
                return done
            return _attempt(cell, store, runtime, progress, anew, ended, stop, lease)


def _attempt(
    cell: Cell,
    store: Store,
    runtime: Runtime,
    progress: Progress,
    anew: bool,
    ended: Mapping[str, AnyRecord],
    stop: Stop,
    lease: Lease,
) -> AnyRecord:
    def told_to_stop() -> str | None:
        if lease.lost():
            raise TakenOver("another process has taken it over")
        return stop.reason

    watch = Stopwatch(runtime)
    attempt = Attempt(store.checkpoint_path(cell.key), runtime.checkpoint_seconds, told_to_stop)
    try:
        record = _run(cell, store, runtime, progress, ended, attempt, stop)
    except UserError:
        raise
    except Exception as error:
        reason = traceback.format_exception_only(error)[-1].strip().splitlines()[-1]
        record = failure(cell, runtime, reason, watch.read())
    if lease.lost():
        raise TakenOver("another process has taken it over")
    store.publish(cell, record, replace=anew or store.record(cell) is not None)
    attempt.forget()
    return record


def plan_all(cells: Iterable[Cell], store: Store, rerun: Rerun) -> tuple[list[Cell], dict[str, AnyRecord]]:
    """Plan `cells` and their pre-trainings in `store`: all of them in order, and the records of those that stay.

    Raises UserError if the store cannot be written.
    """
    store.check_writable()
    graph = with_pretrainings(cells)
    with ThreadPoolExecutor(PLANNING_THREADS) as pool:
        for _ in pool.map(store.plan, graph):
            pass
    found = {} if rerun == "all" else {cell.key: store.record(cell) for cell in graph}
    return graph, {key: record for key, record in found.items() if record is not None}


def is_wanted(cell: Cell, store: Store, rerun: Rerun) -> bool:
    """Whether a cell without a record that stays has to run."""
    return rerun != "failed" or store.has_failed(cell)


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


def _kept(cell: Cell, store: Store) -> AnyRecord | None:
    """The cell's success, unless it is a pre-training whose backbone is gone."""
    done = store.record(cell)
    gone = cell.kind == "pretraining" and not store.backbone_path(cell.key).exists()
    return None if gone else done


def _run(
    cell: Cell,
    store: Store,
    runtime: Runtime,
    progress: Progress,
    ended: Mapping[str, AnyRecord],
    attempt: Attempt,
    stop: Stop,
) -> AnyRecord:
    from ssl_bench.engine.evaluation import evaluate
    from ssl_bench.engine.pretraining import pretrain

    if cell.kind == "pretraining":
        return pretrain(cell, runtime, progress, store.backbone_path(cell.key), attempt)
    if cell.pretraining is None:
        return evaluate(cell, runtime, progress, cell.backbone_file, 0, attempt)
    pretraining = ended.get(cell.pretraining.key)
    if pretraining is None or pretraining.status == "ok":
        pretraining = run_cell(cell.pretraining, store, runtime, progress, stop=stop)
    if not isinstance(pretraining, PretrainingRecord) or pretraining.status == "failed":
        raise RuntimeError(failed_below(pretraining))
    weights = store.backbone_path(pretraining.key)
    return evaluate(cell, runtime, progress, weights, pretraining.volumes_seen, attempt)
