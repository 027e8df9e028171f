"""Writes the numbers of a running cell for TensorBoard as they come. Nothing in ssl-bench reads them back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from ssl_bench.nn.distributed import rank

FLUSH_SECONDS = 5
"""How old a number is at most when it can be seen."""


class RunLog:
    """Writes numbers into a folder; without one it does nothing and imports nothing. Never a reason for a cell to fail.

    `step` counts the updates that were made before, as in records; of ranks that share the work the first writes.
    """

    def __init__(self, folder: Path | None, first: int = 0) -> None:
        """The numbers of step `first` and later replace those that an earlier attempt left in `folder`."""
        self.folder = folder
        self.first = first
        self._logger = self._opened() if folder is not None and rank() == 0 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._try(lambda logger: logger.finalize("ended"))

    def add(self, group: str, numbers: Mapping[str, float], step: int) -> None:
        """Write `numbers`, each under ``group/name``."""
        self._try(lambda logger: logger.log_metrics({f"{group}/{name}": numbers[name] for name in numbers}, step))

    def add_all(self, group: str, curve: Iterable[Mapping[str, float]], before: int = 0) -> None:
        """Write the points of `curve`, each at its ``step`` and the steps `before`, that no earlier attempt wrote."""
        for point in curve:
            step = before + int(point["step"])
            if step >= self.first:
                self.add(group, {name: value for name, value in point.items() if name != "step"}, step)

    def _try(self, work: Callable[[Any], None]) -> None:
        if self._logger is None:
            return
        try:
            work(self._logger)
        except Exception as error:  # A full disk makes the library raise nearly anything.
            print(f"warning: {self.folder}: its numbers are no longer logged: {error}", file=sys.stderr)  # noqa: T201
            self._logger = None

    def _opened(self) -> Any:
        from lightning_fabric.loggers import TensorBoardLogger

        assert self.folder is not None
        folder = str(self.folder)
        return TensorBoardLogger(folder, name="", version="", purge_step=self.first, flush_secs=FLUSH_SECONDS)


SILENT = RunLog(None)
"""Writes nothing."""
