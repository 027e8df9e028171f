"""One attempt at a cell: it starts where the last one stood, and stops when it is told to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssl_bench.files import atomic_write

State = dict[str, Any]
"""Tensors, numbers, text, and lists and dictionaries of them."""


class Stopped(BaseException):
    """The attempt ended before its cell did, in order, and its checkpoint is safe; no failure of the cell."""


class TakenOver(Stopped):
    """Somebody else is working on the cell: this attempt keeps nothing."""


class Attempt:
    """Checkpoints of one cell. Without a path there are none.

    A checkpoint holds all that resuming needs: weights, optimiser, the method's own state, curves, the step. What is
    random is keyed by seed and step, so that no generator's state is part of it: a resumed training ends with the same
    bits as one that was never interrupted (on the CPU, with the same libraries and threads).
    """

    def __init__(
        self,
        path: Path | None = None,
        every_seconds: float = 300.0,
        stop: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`stop` says why to stop after the current step, or None to go on; it may raise TakenOver."""
        self.path = path
        self.every_seconds = every_seconds
        self.stop = stop
        self.found = self._load()
        self._saved = time.monotonic()

    @property
    def state(self) -> State | None:
        """What the last attempt saved; None to start anew."""
        return self.found["state"] if self.found else None

    @property
    def earlier_cost(self) -> dict[str, float]:
        """What the earlier attempts cost, as far as their checkpoints know."""
        cost: dict[str, float] = self.found["cost"] if self.found else {}
        return cost

    def step_done(self, state: Callable[[], State], cost: Callable[[], dict[str, float]]) -> None:
        """Save what `state` and `cost` give if it is time to. Raises Stopped, with all saved, if it is told to stop."""
        if self.path is None:
            return
        reason = self.stop()
        if reason or time.monotonic() - self._saved >= self.every_seconds:
            self._save({"state": state(), "cost": cost()})
            self._saved = time.monotonic()
        if reason:
            raise Stopped(reason)

    def forget(self) -> None:
        """Remove the checkpoint of a cell that has ended."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _save(self, content: dict[str, Any]) -> None:
        import torch

        assert self.path is not None
        # The old checkpoint stays until the new one is whole and on the disk.
        with atomic_write(self.path) as temporary:
            torch.save(content, temporary)

    def _load(self) -> dict[str, Any] | None:
        import torch

        if self.path is None or not self.path.exists():
            return None
        try:
            content: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            return {"state": dict(content["state"]), "cost": dict(content["cost"])}
        except Exception as error:  # A broken file makes the library raise nearly anything.
            aside = self.path.with_name(f"{self.path.name}.corrupt")
            self.path.replace(aside)
            said = type(error).__name__
            print(f"warning: {self.path} does not read ({said}); set aside, starting anew", file=sys.stderr)  # noqa: T201
            return None
