"""One cell, run to its end: claimed, attempted from its last checkpoint, and kept."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

from ssl_bench.errors import UserError
from ssl_bench.executors.cells.outcomes import failed_below, failure, keep, why
from ssl_bench.executors.cells.stopping import Stop, stop_by_signal
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord, PretrainingRecord
from ssl_bench.store.lease import Lease, claimant
from ssl_bench.store.snapshots import has_snapshots, snapshot_file
from ssl_bench.store.store import Store
from ssl_bench.training.attempt import Attempt, RankDiedError, Stopped, TakenOver, confirm_claim
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, Stopwatch, make_fabric, on_one_device

LOG = logging.getLogger(__name__)
CLAIMED_SECONDS = 2.0
"""Between two looks at cells that other processes work on."""


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
        if other := claimant(store.lease_path(cell.key)):
            raise TakenOver(f"{other} works on it")
        with ExitStack() as claims:
            try:
                lease = claims.enter_context(Lease(store.lease_path(cell.key)))
                store.check_room()
            except (OSError, UserError) as error:
                return keep(cell, failure(cell, runtime, f"no room to work: {why(error)}"), store)[0]
            # The process that held the lease a moment ago may have ended the cell.
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
            raise TakenOver
        return stop.reason

    # Only a pre-training spreads over devices.
    own = runtime if cell.kind == "pretraining" else on_one_device(runtime)
    store.clear_remains(cell)
    # What has a record by now is run anew, or has lost its weights.
    replace = anew or store.has_succeeded(cell)
    weights, examples = store.attempt_weights_path(cell.key), store.attempt_examples_path(cell.key)
    may_go_on = False
    watch = Stopwatch(own)
    attempt = Attempt(
        store.checkpoint_path(cell.key),
        runtime.checkpoint_seconds,
        told_to_stop,
        examples,
        partial(confirm_claim, lease.path, lease.token),
        store.events_path(cell) if runtime.log else None,
        store.snapshots_folder(cell.key),
    )
    try:
        try:
            record = _run(cell, store, runtime, progress, ended, attempt, stop, weights)
        except UserError:
            raise
        except Exception as error:
            reason = traceback.format_exception_only(error)[-1].strip().splitlines()[-1]
            where = "".join(traceback.format_exception(error))
            LOG.debug("%s [%s] failed:\n%s", cell.title, cell.key, where)
            record = failure(cell, own, reason, watch.read(), where)
            may_go_on = isinstance(error, RankDiedError)
        if lease.look():
            raise TakenOver
        record, written = keep(cell, record, store, replace, weights, examples)
        if written and not may_go_on:
            attempt.forget()
        return record
    finally:
        weights.unlink(missing_ok=True)
        with suppress(OSError):
            examples.unlink()


def _kept(cell: Cell, store: Store) -> AnyRecord | None:
    """The cell's success, unless it is a pre-training whose backbone is gone."""
    done = store.record(cell)
    return None if done is not None and not store.is_whole(done) else done


def _run(
    cell: Cell,
    store: Store,
    runtime: Runtime,
    progress: Progress,
    ended: Mapping[str, AnyRecord],
    attempt: Attempt,
    stop: Stop,
    weights: Path,
) -> AnyRecord:
    """Compute the cell; a pre-training writes its backbone to `weights`."""
    from ssl_bench.executors.cells.data_parallel import pretrain_on_ranks
    from ssl_bench.training.evaluation import evaluate
    from ssl_bench.training.pretraining import pretrain

    if cell.kind == "pretraining":
        if runtime.ranks:
            return pretrain_on_ranks(cell, runtime, progress, weights, attempt)
        record = pretrain(make_fabric(runtime, cell.spec.precision), cell, runtime, progress, weights, attempt)
        assert record is not None
        return record
    if cell.pretraining is None:
        return evaluate(cell, on_one_device(runtime), progress, cell.backbone_file, 0, attempt)
    pretraining = ended.get(cell.pretraining.key)
    if pretraining is None or pretraining.status == "ok":
        pretraining = run_cell(cell.pretraining, store, runtime, progress, stop=stop)
    if not isinstance(pretraining, PretrainingRecord) or pretraining.status == "failed":
        raise RuntimeError(failed_below(pretraining))
    backbone, seen = store.backbone_path(pretraining.key), pretraining.volumes_seen
    if step := cell.evaluation.snapshot:
        backbone = snapshot_file(store.snapshots_folder(pretraining.key), step)
        seen = step * pretraining.spec.batch
        if not has_snapshots(pretraining, [step], backbone.parent):
            raise RuntimeError(f"{backbone}: the snapshot is missing, since it could not be kept; free some room")
    return evaluate(cell, on_one_device(runtime), progress, backbone, seen, attempt)
