"""Which process: a number alone means nothing in another container, on another machine, or a while later."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Identity:
    """One process among all that may share a folder; what the system does not tell is None (macOS has no ``/proc``)."""

    host: str
    process: int
    boot: str | None
    """Of the machine's kernel: another one after each start."""
    pid_namespace: str | None
    """In which `process` counts: containers on one machine have one each."""
    started: int | None
    """In clock ticks since the boot: numbers are used again."""

    def has_died(self) -> bool:
        """Whether the process is known to have ended: nobody knows that of one elsewhere, nor without ``/proc``."""
        here = identity_of(os.getpid())
        if None in (self.boot, self.pid_namespace, self.started):
            return False
        if (self.host, self.boot, self.pid_namespace) != (here.host, here.boot, here.pid_namespace):
            return False
        try:
            os.kill(self.process, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:
            # Another user's, of which the system may show nothing.
            return False
        state, started = _stat(self.process)
        # One that has ended and waits for its parent to notice is a zombie.
        return state == "Z" or started not in (self.started, None)


def identity_of(process: int) -> Identity:
    """Who `process` is, which runs in this process's pid namespace."""
    host = socket.gethostname()
    unknown = Identity(host, process, None, None, None)
    try:
        if (PROC / "self").readlink().name != str(os.getpid()):
            # It is the /proc of another pid namespace, and counts differently.
            return unknown
        boot = (PROC / "sys" / "kernel" / "random" / "boot_id").read_text("ascii").strip()
        return Identity(host, process, boot, str((PROC / "self" / "ns" / "pid").readlink()), _stat(process)[1])
    except OSError:
        return unknown


def _stat(process: int) -> tuple[str | None, int | None]:
    """Its state, a letter, and when it started (proc(5)); None where that cannot be read."""
    try:
        # The name before the parenthesis may hold anything.
        fields = (PROC / str(process) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None, None
    return fields[0].decode("ascii"), int(fields[19])
