"""What identifies a process among all that share a folder.

A process number alone does not: containers and machines count separately, and numbers are used again.
"""

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
    """The boot id of the machine's kernel, which changes with each start."""
    pid_namespace: str | None
    """The pid namespace in which `process` is counted: each container on a machine has its own."""
    started: int | None
    """When the process started, in clock ticks since the boot: a process that reuses the number differs here."""

    def has_died(self) -> bool:
        """Whether the process is known to have ended; False for one on another machine, and without ``/proc``."""
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
            # It belongs to another user; the system may show nothing of it.
            return False
        state, started = _stat(self.process)
        # A zombie has ended and waits for its parent to notice.
        return state == "Z" or started not in (self.started, None)


def identity_of(process: int) -> Identity:
    """The identity of `process`, which runs in this process's pid namespace."""
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
    """The state of a process, a letter, and when it started (proc(5)); None for what cannot be read."""
    try:
        # The name before the parenthesis may hold anything.
        fields = (PROC / str(process) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None, None
    return fields[0].decode("ascii"), int(fields[19])
