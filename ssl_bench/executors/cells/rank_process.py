"""One rank of a data-parallel pre-training, in the process that lightning-fabric started for it."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from ssl_bench.executors.cells.stopping import SIGNALS
from ssl_bench.nn.distributed import rank
from ssl_bench.nn.transfer import Arriving, constant
from ssl_bench.planning.registration import register
from ssl_bench.spec.cell import Cell
from ssl_bench.training.attempt import Attempt, Stopped, TakenOver
from ssl_bench.training.pretraining import pretrain
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# The ranks import this before they greet each other, one line each.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

GO_ON, STOP, GIVE_UP = range(3)
"""What the ranks are told: go on; keep the state and stop; stop, since another process has taken the cell over."""
PARENT_SECONDS = 1.0
"""How soon a rank notices that the process which started it is gone."""


@dataclass(frozen=True)
class Line:
    """Between the ranks and the process that started them."""

    steps: Any
    """A queue of a few words for every step done."""
    order: Any
    """A shared integer: what the ranks are told."""
    stopped: Any
    """A shared integer: 1 once the first rank has stopped before the end."""
    parent: int
    """The process that started them."""


class RankAttempt(Attempt):
    """All ranks read the checkpoint, the first writes it, and they stop together."""

    def __init__(
        self,
        path: Path | None,
        every_seconds: float,
        examples: Path | None,
        confirm: Callable[[], None],
        line: Line,
        fabric: Fabric,
        events: Path | None = None,
        snapshots: Path | None = None,
    ) -> None:
        super().__init__(path, every_seconds, self.agree, examples, events=events, snapshots=snapshots)
        self.confirm_claim = confirm
        self.line = line
        self.device = fabric.device
        self.told: Arriving | None = None

    def agree(self) -> str | None:
        """What the first rank was told when it asked. Raises TakenOver."""
        order = constant([self.line.order.value], self.device)
        dist.broadcast(order, src=0)
        earlier, self.told = self.told, Arriving(order[0])
        # GPUs, which need not wait then, hear it one step late, all alike.
        told = earlier if self.device.type == "cuda" else self.told
        number = told.read() if told else GO_ON
        if number == GIVE_UP:
            raise TakenOver
        return "told to stop" if number == STOP else None

    def _save(self, content: dict[str, Any]) -> None:
        if rank() == 0 and self._still_claimed():
            super()._save(content)

    def keep_snapshot(self, step: int, write: Callable[[Path], None]) -> None:
        """As in one process, by the first rank."""
        if rank() == 0 and self._still_claimed():
            super().keep_snapshot(step, write)

    def _still_claimed(self) -> bool:
        try:
            self.confirm_claim()
        except TakenOver:
            # The others would wait for a rank that stopped alone: all do after their next step.
            self.line.order.value = GIVE_UP
            return False
        return True

    def _load(self) -> dict[str, Any] | None:
        # The starting process has read it already: a rank that cannot must not start anew beside the others.
        if self.path is None or not self.path.exists():
            return None
        content: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return content


class Steps(Progress):
    """Tells the starting process of every step."""

    def __init__(self, line: Line) -> None:
        super().__init__(shown=False)
        self.line = line

    @contextmanager
    def track(self, title: str, steps: int) -> Iterator[Callable[[str], None]]:
        """Send the words of the first rank; the others are silent."""
        yield self.line.steps.put if rank() == 0 else lambda words: None


def run_rank(
    fabric: Fabric,
    cell: Cell,
    runtime: Runtime,
    weights: Path,
    checkpoint: Path | None,
    examples: Path | None,
    events: Path | None,
    snapshots: Path | None,
    confirm: Callable[[], None],
    written: Path,
    line: Line,
) -> None:
    """Pre-train on this rank's share; the first rank leaves the record at `written`, unless told to stop."""
    _follow(line.parent)
    register(cell)
    torch.set_num_threads(runtime.threads)
    # It speaks of speed, and only at kernels of one voxel, whose layout is ambiguous.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    own = replace(runtime, device=runtime.ranks[fabric.global_rank])
    attempt = RankAttempt(checkpoint, runtime.checkpoint_seconds, examples, confirm, line, fabric, events, snapshots)
    try:
        record = pretrain(fabric, cell, own, Steps(line), weights, attempt)
    except Stopped:
        line.stopped.value = 1
        return
    if record is not None:
        written.write_text(record.model_dump_json(), "utf-8")


def _follow(parent: int) -> None:
    """Leave signals to the parent, which a terminal or a batch system signals too; end when it has ended."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # They were blocked until their handlers were in place.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
