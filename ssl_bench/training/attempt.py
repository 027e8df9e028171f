"""One attempt at a cell: it starts where the last one stood, and stops when it is told to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssl_bench.errors import UserError
from ssl_bench.files import atomic_write, set_aside
from ssl_bench.store.lease import is_anothers
from ssl_bench.store.snapshots import matching_file, snapshot_file

State = dict[str, Any]
"""Tensors, numbers, text, and lists and dictionaries of them."""


class Stopped(BaseException):
    """The attempt ended before its cell did, in order, and its checkpoint is safe; no failure of the cell."""


class TakenOver(Stopped):
    """Another process works on the cell: this attempt keeps nothing."""

    def __init__(self, reason: str = "another process has taken it over") -> None:
        super().__init__(reason)


class RankDiedError(RuntimeError):
    """A process that shared the work was killed, with no error of its own: the checkpoint is good for another try."""


def confirm_claim(lease: Path, token: str) -> None:
    """Raise TakenOver if the lease at `lease` is no longer that of `token`; one that cannot be read is."""
    if is_anothers(lease, token):
        raise TakenOver


def unclaimed() -> None:
    """Confirm the claim to a cell that no other process can claim; a named function can be sent to ranks."""


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
        examples: Path | None = None,
        confirm: Callable[[], None] = unclaimed,
        events: Path | None = None,
        snapshots: Path | None = None,
    ) -> None:
        """`stop` says why to stop after the current step, or None to go on; it may raise TakenOver.

        It is asked after every step and must cost nothing; `confirm` is called before a state is written, and raises
        TakenOver if another attempt has claimed the cell. Where ranks share the work, it goes to their processes.
        `examples` is where it writes the cell's examples at its end, `events` the folder for its numbers as they come,
        `snapshots` that for the snapshots of a pre-training; None for nowhere.
        """
        self.path = path
        self.examples = examples
        self.events = events
        self.snapshots = snapshots
        self.every_seconds = every_seconds
        self.stop = stop
        self.confirm = confirm
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
        """Save what `state` and `cost` give if it is time to. Raises Stopped, with all saved, if it is told to stop.

        A state that cannot be written ends nothing: the older one stays, and a warning says so.
        """
        if self.path is None:
            return
        reason = self.stop()
        if reason or time.monotonic() - self._saved >= self.every_seconds:
            self.confirm()
            try:
                self._save({"state": state(), "cost": cost()})
            except (OSError, RuntimeError, UserError) as error:  # torch has no error of its own for a full disk.
                said = str(error).splitlines()[0]
                print(f"warning: {self.path}: its state could not be saved: {said}", file=sys.stderr)  # noqa: T201
            self._saved = time.monotonic()
        if reason:
            raise Stopped(reason)

    def snapshot_path(self, step: int) -> Path | None:
        """Where the pre-training's snapshot after so many steps is kept; None for nowhere."""
        return self.snapshots and snapshot_file(self.snapshots, step)

    def keep_snapshot(self, step: int, write: Callable[[Path], None]) -> None:
        """Have `write` make the file of a snapshot. Raises TakenOver.

        One that cannot be written ends nothing: a warning says so, and whoever needs it pre-trains once more.
        """
        self._keep(self.snapshot_path(step), write, "the snapshot")

    def keep_matching(self, write: Callable[[Path], None]) -> None:
        """Have `write` make the file of the heads by which the method matches, as in `keep_snapshot`."""
        self._keep(self.snapshots and matching_file(self.snapshots.parent), write, "the method's own map")

    def _keep(self, path: Path | None, write: Callable[[Path], None], what: str) -> None:
        if path is None:
            return
        self.confirm()
        try:
            write(path)
        except (OSError, RuntimeError, UserError) as error:  # Neither has safetensors an error of its own.
            said = str(error).splitlines()[0]
            print(f"warning: {path}: {what} could not be kept: {said}", file=sys.stderr)  # noqa: T201

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
            set_aside(self.path, f"checkpoint ({type(error).__name__})", "starting anew")
            return None
