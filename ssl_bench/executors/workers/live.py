"""What goes on in every slot, on stderr: a table that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from statistics import fmean

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord

REFRESHES_PER_SECOND = 4


class LiveView:
    """Cells done, failed and left with the time left, and a line for each slot. Silent when `shown` is false."""

    def __init__(self, slots: Sequence[str], shown: bool = True) -> None:
        self.slots = slots
        self.console = Console(stderr=True, quiet=not shown)
        self.left: list[Cell] = []
        self.done = self.failed = 0
        self._doing: dict[int, str] = {}
        self._seconds: dict[str, list[float]] = defaultdict(list)
        """What ended cells took, by their kind."""
        self._began: dict[str, float] = {}

    @contextmanager
    def over(self, left: Sequence[Cell], done: int) -> Iterator[None]:
        """Show the work on the cells that are `left`, after `done` others."""
        self.left, self.done = list(left), done
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self._picture, console=self.console, refresh_per_second=REFRESHES_PER_SECOND):
            yield

    def say(self, line: str) -> None:
        """A line that stays, whole however narrow the screen: it may go into a file."""
        self.console.print(Text(line), soft_wrap=True)

    def started(self, slot: int, cell: Cell) -> None:
        """The worker of a slot has a cell; one that another process works on is asked for again and again."""
        new = cell.key not in self._began
        self._began[cell.key] = time.monotonic()
        self._doing[slot] = cell.title
        if new and not self.console.is_terminal:
            self.say(f"{self.slots[slot]}: {cell.title}")

    def step(self, slot: int, cell: Cell, step: int, steps: int, words: str) -> None:
        """The cell of a slot has gone on."""
        self._doing[slot] = f"{cell.title}: step {step} of {steps}, {words}"

    def idle(self, slot: int) -> None:
        """The worker of a slot has no cell any more."""
        self._doing.pop(slot, None)

    def ended(self, cell: Cell, record: AnyRecord, words: str) -> None:
        """A cell has its record; `words` say which."""
        self.left.remove(cell)
        failed = record.status == "failed"
        self.failed += failed
        self.done += not failed
        if not failed and cell.key in self._began:
            self._seconds[cell.kind].append(time.monotonic() - self._began[cell.key])
        if failed or not self.console.is_terminal:
            self.say(f"{cell.title}: {words} ({self.summary()})")

    def summary(self) -> str:
        """Cells done, failed and left, and about how long those will take; nothing about that before one has ended."""
        counts = f"{self.done} done, {self.failed} failed, {len(self.left)} left"
        known = [seconds for kind in self._seconds.values() for seconds in kind]
        if not known or not self.left:
            return counts
        means = {kind: fmean(seconds) for kind, seconds in self._seconds.items()}
        seconds = sum(means.get(cell.kind, fmean(known)) for cell in self.left) / len(self.slots)
        return f"{counts}, about {timedelta(seconds=round(seconds))}"

    def _picture(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for slot, name in enumerate(self.slots):
            table.add_row(Text(name), Text(self._doing.get(slot, "-"), overflow="ellipsis", no_wrap=True))
        return Group(Text(self.summary()), table)
