"""Progress bars on stderr, with the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text


class Progress:
    """One bar for the work at hand; silent when `shown` is false."""

    def __init__(self, shown: bool = True) -> None:
        self.console = Console(stderr=True, quiet=not shown)

    def say(self, line: str) -> None:
        """A line that stays, whole however narrow the screen: it may go into a file."""
        self.console.print(Text(line), soft_wrap=True)

    @contextmanager
    def track(self, title: str, steps: int) -> Iterator[Callable[[str], None]]:
        """A bar of `steps`; yields a function that advances it by one and shows a few words."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[words]}", markup=False),
        )
        with Bars(*columns, console=self.console, transient=True) as bars:
            task = bars.add_task(title, total=steps, words="")
            yield lambda words: bars.update(task, advance=1, words=words)
