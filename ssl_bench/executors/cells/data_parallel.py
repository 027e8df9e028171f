"""One pre-training on several devices, a process each, that share every batch (lightning-fabric's data parallelism).

The batch of the spec is what all ranks see together, so that the number of devices is no part of a cell's key.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import queue
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ssl_bench.api.registry import METHODS
from ssl_bench.data.sources import source_of
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.rank_process import GIVE_UP, GO_ON, STOP, Line, run_rank
from ssl_bench.executors.cells.stopping import SIGNALS
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import PretrainingRecord
from ssl_bench.spec.specification import PretrainingSpec
from ssl_bench.training.attempt import Attempt, RankDiedError, Stopped, TakenOver
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, make_fabric

STEP_SECONDS = 0.2
"""How soon a request to stop reaches the ranks where no step ends."""
PORT = "MASTER_PORT"
"""The launcher leaves it in the environment, where the next pre-training would find it taken."""


def check_shares(cell: Cell, runtime: Runtime) -> None:
    """Raise UserError if `cell` is a pre-training whose batch the ranks cannot share equally, groups whole."""
    ranks = len(runtime.ranks)
    if cell.kind != "pretraining" or not ranks:
        return
    spec = cell.pretraining_spec
    facts = METHODS.load(spec.method).facts
    share = ranks * facts.grouped
    if spec.batch % share:
        groups = "" if facts.grouped == 1 else f" of whole groups of {facts.grouped}"
        enough = share * math.ceil(max(spec.batch, facts.smallest_batch) / share)
        raise UserError(
            f"--devices {','.join(runtime.ranks)}: {spec.method}'s batch of {spec.batch} does not divide into "
            f"{ranks} equal shares{groups}; name fewer devices, or use --set pretraining.batch={enough}"
        )


def pretrain_on_ranks(
    cell: Cell, runtime: Runtime, progress: Progress, weights: Path, attempt: Attempt
) -> PretrainingRecord:
    """`pretrain` with one process on each of ``runtime.ranks``; this one watches them.

    Raises UserError if they cannot share the batch, RankDiedError if one is killed, and what `attempt` raises when it
    is told to stop.
    """
    check_shares(cell, runtime)
    spec = cell.pretraining_spec
    # Once, before every rank wants it.
    source_of(cell).load()
    context = multiprocessing.get_context("spawn")
    line = Line(context.Queue(), context.Value("i", GO_ON), context.Value("i", 0), os.getpid())
    with tempfile.TemporaryDirectory() as folder, progress.track(cell.title, spec.steps) as advance:
        # By a file: the launcher reads what a rank returns after the rank's end, and a pipe holds only so much.
        written = Path(folder) / "record.json"
        rank = partial(
            # Bound, since the launcher looks into arguments and refuses what is frozen.
            run_rank,
            cell=cell,
            runtime=runtime,
            weights=weights,
            checkpoint=attempt.path,
            examples=attempt.examples,
            events=attempt.events,
            snapshots=attempt.snapshots,
            confirm=attempt.confirm,
            written=written,
            line=line,
        )
        _watch(partial(_launch, runtime, spec, rank), line, advance, attempt)
        return PretrainingRecord.model_validate_json(written.read_text("utf-8"))


def _launch(runtime: Runtime, spec: PretrainingSpec, rank: Callable[..., None]) -> None:
    """Start the ranks and wait for their end; the thread's blocked signals are theirs until they can handle them."""
    from torch.multiprocessing.spawn import ProcessExitedException

    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    with _port_of_its_own():
        try:
            make_fabric(runtime, spec.precision).launch(rank)
        except ProcessExitedException as error:
            raise RankDiedError(str(error)) from error


@contextmanager
def _port_of_its_own() -> Iterator[None]:
    before = os.environ.get(PORT)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(PORT, None)


def _watch(work: Callable[[], None], line: Line, advance: Callable[[str], None], attempt: Attempt) -> None:
    """Do `work` in a thread; meanwhile pass on steps to `advance`, and to the ranks what `attempt` is told.

    Raises what `attempt` raised, once the ranks have stopped, and TakenOver if they noticed that before.
    """
    stopped: Stopped | None = None
    with ThreadPoolExecutor(1) as pool:
        future: Future[None] = pool.submit(work)
        try:
            while not future.done():
                with contextlib.suppress(queue.Empty):
                    advance(line.steps.get(timeout=STEP_SECONDS))
                stopped = stopped or _told(attempt)
                if stopped:
                    line.order.value = GIVE_UP if isinstance(stopped, TakenOver) else STOP
        except BaseException:
            for process in multiprocessing.active_children():
                process.kill()
            raise
    error = future.exception()
    if line.stopped.value or (stopped and error):
        raise stopped or TakenOver
    if error:
        raise error


def _told(attempt: Attempt) -> Stopped | None:
    try:
        reason = attempt.stop()
    except TakenOver as taken:
        return taken
    return Stopped(reason) if reason else None
