"""Leases say who works on a cell right now. They save double work; correctness never depends on them."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssl_bench.files import atomic_write
from ssl_bench.store.process import Identity, identity_of

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
"""The holder of a lease without a heartbeat for so long is taken for dead."""
WATCH_SECONDS = 2 * HEARTBEAT_SECONDS
"""How long a lease that looks stale is watched before its cell is claimed."""
LOOK_SECONDS = 0.1


class Lease:
    """One attempt's claim on a cell: a file that is touched while the attempt lives; a context manager.

    The newest claim is the valid one. An attempt that finds another's in its place has been given up for dead and must
    stop, or the same cell would be computed twice to its end.
    """

    def __init__(self, path: Path, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self.path = path
        self.token = uuid.uuid4().hex
        self.heartbeat_seconds = heartbeat_seconds
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True, name=f"lease {path.name}")

    def __enter__(self) -> Lease:
        """Claim the cell, even if another process holds it. Raises OSError if the claim cannot be written."""
        content = {"token": self.token, **asdict(identity_of(os.getpid())), "since": time.time()}
        with atomic_write(self.path) as temporary:
            temporary.write_text(json.dumps(content), "utf-8")
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the claim up, unless it is another's by now."""
        self._ended.set()
        self._heart.join()
        if not self.look():
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def lost(self) -> bool:
        """Whether a newer attempt has claimed the cell, as far as the last heartbeat saw; costs nothing."""
        return self._lost.is_set()

    def look(self) -> bool:
        """Whether a newer attempt has claimed the cell, read from the file now; an unreadable lease is not lost."""
        if is_anothers(self.path, self.token):
            self._lost.set()
        return self.lost()

    def _beat(self) -> None:
        while not self._ended.wait(self.heartbeat_seconds) and not self.look():
            # A full disk or an absent file system must not end the work.
            with contextlib.suppress(OSError):
                os.utime(self.path)


@dataclass(frozen=True)
class Holder(Identity):
    """Who holds a lease."""

    since: float
    """When the lease was taken, in seconds since 1970 by the holder's clock."""

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def is_anothers(path: Path, token: str) -> bool:
    """Whether the lease at `path` is another's than that of `token`, seen right now; not if it cannot be read."""
    content = _read(path)
    return content is not None and content.get("token") != token


def holder(path: Path, stale_seconds: float = STALE_SECONDS) -> Holder | None:
    """The holder of the lease at `path`; None if there is none, the heartbeat has stopped or the holder has died.

    The heartbeat's age is judged once, by the clock of the file system. To claim a cell, ask `claimant` instead.
    """
    found, beat = _written(path), _beat(path)
    if found is None or beat is None or found.has_died():
        return None
    # A clock that jumped leaves an age that is negative or large: both are stale, or a dead claim could hold for ever.
    return found if abs(_now_beside(path) - beat) <= stale_seconds else None


def claimant(path: Path, watch_seconds: float = WATCH_SECONDS) -> Holder | None:
    """The holder of the lease at `path`, asked before its cell is claimed.

    A clock that jumps makes every lease look stale until its next heartbeat. So a lease that does, and whose holder
    is not known to be dead, is watched: a heartbeat that moves is a holder's, whatever the clocks say.
    """
    found = holder(path)
    suspect, before = _written(path), _beat(path)
    if found or suspect is None:
        return found
    deadline = time.monotonic() + watch_seconds
    while not suspect.has_died() and time.monotonic() < deadline:
        now = _beat(path)
        if now != before:
            return None if now is None else suspect
        time.sleep(LOOK_SECONDS)
    return None


def release_of_dead(path: Path) -> None:
    """Remove the lease at `path` if a process that is known to have died left it."""
    found = _written(path)
    if found and found.has_died():
        path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _written(path: Path) -> Holder | None:
    """Who wrote the lease at `path`, alive or not; None if it does not read."""
    content = _read(path) or {}
    try:
        # Leases of before name neither boot, namespace nor start.
        boot, namespace, started = (content.get(name) for name in ("boot", "pid_namespace", "started"))
        return Holder(str(content["host"]), int(content["process"]), boot, namespace, started, float(content["since"]))
    except (ArithmeticError, ValueError, LookupError, TypeError):
        return None


def _beat(path: Path) -> float | None:
    """When the lease was last touched, by the clock of the file system."""
    try:
        # To open a file makes a network file system look, where it would answer `stat` from what it remembers.
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


def _now_beside(path: Path) -> float:
    """The time as the file system that holds `path` knows it, since machines' clocks differ."""
    probe = path.with_name(f".now-{uuid.uuid4().hex}")
    try:
        probe.touch()
    except OSError:
        # Without permission to write, this machine's own clock is all there is.
        return time.time()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
