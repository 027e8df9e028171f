"""One pre-training on several devices, a process each, that share every batch (lightning-fabric's data parallelism).

The batch of the science is what all ranks see together, so that the number of devices is no part of a cell's key.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from ssl_bench.cells.plan import Cell
from ssl_bench.cells.record import PretrainingRecord
from ssl_bench.cells.science import PretrainingScience
from ssl_bench.data import load_corpus
from ssl_bench.engine.attempt import Attempt, Stopped, TakenOver
from ssl_bench.engine.pretraining import pretrain
from ssl_bench.engine.progress import Progress
from ssl_bench.engine.runtime import Runtime, make_fabric
from ssl_bench.engine.stopping import SIGNALS
from ssl_bench.errors import UserError
from ssl_bench.ranks import rank
from ssl_bench.registry import METHODS, add_plugin_file

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# The ranks import this before they greet each other, one line each.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

POLL_SECONDS = 0.2
GO_ON, STOP, GIVE_UP = range(3)
"""What the ranks are told: go on; keep the state and stop; stop, since another process has taken the cell over."""


def check_shares(cell: Cell, runtime: Runtime) -> None:
    """Raise UserError if `cell` is a pre-training whose batch the ranks cannot share equally, groups whole."""
    science, ranks = cell.science, len(runtime.ranks)
    if not isinstance(science, PretrainingScience):
        return
    grouped = METHODS.load(science.method).facts.grouped
    if ranks and science.batch % (ranks * grouped):
        groups = "" if grouped == 1 else f" of whole groups of {grouped}"
        raise UserError(
            f"--devices {','.join(runtime.ranks)}: {science.method}'s batch of {science.batch} does not divide into "
            f"{ranks} equal shares{groups}; name fewer devices, or use --set pretraining.batch={ranks * grouped}"
        )


def pretrain_on_ranks(
    cell: Cell, runtime: Runtime, progress: Progress, weights: Path, attempt: Attempt
) -> PretrainingRecord:
    """`pretrain` with one process on each of ``runtime.ranks``; this one watches them.

    Raises UserError if they cannot share the batch, and what `attempt` raises when it is told to stop.
    """
    check_shares(cell, runtime)
    science = cell.science
    assert isinstance(science, PretrainingScience)
    assert science.corpus is not None
    # Once, before every rank wants it.
    load_corpus(science.corpus, cell.sources)
    context = multiprocessing.get_context("spawn")
    line = Line(context.Queue(), context.Value("i", GO_ON), os.getpid())
    fabric = make_fabric(runtime, science.precision)
    with progress.track(cell.title, science.steps) as advance, _watched(line, advance, attempt) as stopped:
        try:
            found = fabric.launch(
                # Bound, since the launcher looks into arguments and refuses what is frozen.
                partial(
                    _run_rank,
                    cell=cell,
                    runtime=runtime,
                    weights=weights,
                    checkpoint=attempt.path,
                    examples=attempt.examples,
                    line=line,
                )
            )
        except BaseException:
            for process in multiprocessing.active_children():
                process.kill()
            raise
    if found is None:
        raise stopped[0]
    return PretrainingRecord.model_validate_json(found)


@dataclass(frozen=True)
class Line:
    """Between the ranks and the process that started them."""

    steps: Any
    """A queue of a few words for every step done."""
    order: Any
    """A shared integer: what the ranks are told."""
    parent: int
    """The process that started them."""


class RankAttempt(Attempt):
    """All ranks read the checkpoint, the first writes it, and they stop together."""

    def __init__(self, path: Path | None, every_seconds: float, line: Line, fabric: Fabric) -> None:
        super().__init__(path, every_seconds, self.agree)
        self.line = line
        self.device = fabric.device

    def agree(self) -> str | None:
        """What the first rank was told when it asked. Raises TakenOver."""
        order = torch.tensor(self.line.order.value, device=self.device)
        dist.broadcast(order, src=0)
        if order == GIVE_UP:
            raise TakenOver
        return "told to stop" if order == STOP else None

    def _save(self, content: dict[str, Any]) -> None:
        if rank() == 0:
            super()._save(content)


class Steps(Progress):
    """Tells the starting process of every step."""

    def __init__(self, line: Line) -> None:
        super().__init__(shown=False)
        self.line = line

    @contextmanager
    def track(self, title: str, steps: int) -> Iterator[Callable[[str], None]]:
        """Send the words of the first rank; the others are silent."""
        yield self.line.steps.put if rank() == 0 else lambda words: None


def _run_rank(
    fabric: Fabric,
    cell: Cell,
    runtime: Runtime,
    weights: Path,
    checkpoint: Path | None,
    examples: Path | None,
    line: Line,
) -> str | None:
    """The record of the pre-training as JSON; None where it was told to stop."""
    _leave_signals_to(line.parent)
    from ssl_bench.datasets.formats.own_tasks import register_own

    for file in cell.plugins:
        add_plugin_file(file)
    register_own(cell.sources)
    torch.set_num_threads(runtime.threads)
    # It speaks of speed, and only at kernels of one voxel, whose layout is ambiguous.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    own = replace(runtime, device=runtime.ranks[fabric.global_rank])
    attempt = RankAttempt(checkpoint, runtime.checkpoint_seconds, line, fabric)
    attempt.examples = examples
    try:
        return pretrain(fabric, cell, own, Steps(line), weights, attempt).model_dump_json()
    except Stopped:
        return None


def _leave_signals_to(parent: int) -> None:
    """A terminal or a batch system signals every process; the parent decides, and the ranks follow it, or end with it.

    The parent's end arrives as a signal too, where the system can send one.
    """

    def receive(number: int, frame: FrameType | None) -> None:
        if os.getppid() != parent:
            os._exit(1)

    for number in SIGNALS:
        signal.signal(number, receive)


@contextmanager
def _watched(line: Line, advance: Callable[[str], None], attempt: Attempt) -> Iterator[list[Stopped]]:
    """Meanwhile, pass on steps to `advance` and what `attempt` is told to the ranks; yields why they were stopped."""
    stopped: list[Stopped] = []
    ended = threading.Event()

    def ask() -> None:
        try:
            reason = attempt.stop()
        except TakenOver as taken:
            stopped.append(taken)
            line.order.value = GIVE_UP
        else:
            if reason:
                stopped.append(Stopped(reason))
                line.order.value = STOP

    def watch() -> None:
        while not ended.is_set():
            with contextlib.suppress(queue.Empty):
                advance(line.steps.get(timeout=POLL_SECONDS))
            if not stopped:
                ask()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield stopped
    finally:
        ended.set()
        watcher.join()
