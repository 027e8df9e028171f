"""Device slots, and the worker process on each."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ssl_bench.errors import UserError
from ssl_bench.executors.cells.stopping import SIGNALS
from ssl_bench.training.runtime import Runtime, usable_cores

LAST_WORDS_SECONDS = 30.0
"""How long a worker that has nothing to do may take to end."""


@dataclass(frozen=True)
class Slot:
    """Where one worker runs."""

    name: str
    device: str
    """The device's name as the worker sees it."""
    threads: int
    environment: Mapping[str, str] = field(default_factory=dict)


def cpu_slots(workers: int, threads: int | None) -> list[Slot]:
    """`workers` slots on the processor; `threads` each, by default the usable cores divided among them."""
    return [Slot(f"cpu {number}", "cpu", threads or _share(workers)) for number in range(1, workers + 1)]


def cuda_devices() -> list[str]:
    """The CUDA devices of this machine that may be used."""
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def device_slots(devices: Sequence[str], threads: int | None) -> list[Slot]:
    """One slot for each of `devices`, such as ``cuda:0``; a worker sees no other CUDA device than its own.

    Raises UserError for a device that is not there.
    """
    count = len(cuda_devices())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in visible.split(",")] if visible else [str(index) for index in range(count)]
    slots = []
    for device in devices:
        kind, _, index = device.partition(":")
        if kind != "cuda" or not (index or "0").isdecimal():
            raise UserError(f"--devices {device}: expected cuda:N, comma-separated; for the processor use --workers")
        if int(index or 0) >= count:
            raise UserError(f"--devices {device}: this machine has {count} usable CUDA devices; name others")
        environment = {"CUDA_VISIBLE_DEVICES": names[int(index or 0)]}
        slots.append(Slot(device, "cuda", threads or _share(len(devices)), environment))
    return slots


class WorkerProcess:
    """The worker of one slot: started when it has a cell, and again after it has gone."""

    def __init__(self, slot: Slot, results: Path, runtime: Runtime, anew: bool) -> None:
        self.slot = slot
        self.events = -1
        """The pipe on which the worker says how it gets on."""
        self._arguments = [
            *(
                sys.executable,
                "-m",
                "ssl_bench.executors.workers.worker",
                "--results",
                str(results),
                "--device",
                slot.device,
            ),
            *("--threads", str(slot.threads), "--checkpoint-seconds", str(runtime.checkpoint_seconds)),
            *(["--checkpointing"] if runtime.checkpointing else []),
            *(["--log", runtime.log] if runtime.log else []),
            *(["--anew"] if anew else []),
        ]
        self._process: subprocess.Popen[str] | None = None
        self._began = 0.0
        self._unread = b""

    def start(self, key: str) -> None:
        """Let the worker run the cell `key`."""
        if self._process is None or self._stdin.closed or self.has_died():
            self.end()
            self._launch()
        self._began = time.monotonic()
        # A worker that died just now will be noticed.
        with contextlib.suppress(OSError):
            self._stdin.write(f"{key}\n")
            self._stdin.flush()

    def seconds(self) -> float:
        """Since its cell began."""
        return time.monotonic() - self._began

    def read(self) -> list[dict[str, Any]]:
        """What the worker has said since the last call."""
        parts = [self._unread]
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.events, 1 << 16):
                parts.append(part)
        *lines, self._unread = b"".join(parts).split(b"\n")
        return [json.loads(line) for line in lines]

    def has_died(self) -> bool:
        """Whether the process has ended, in whichever way."""
        return self._process is not None and self._process.poll() is not None

    def cause_of_death(self) -> str:
        """How a process ended that has died."""
        code = self._process.poll() if self._process else 0
        if code is not None and code < 0:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"the process died of {signal.Signals(-code).name}{hint}"
        return f"the process ended with exit code {code}"

    def retire(self) -> None:
        """Take no further cell; the worker stops after its step, with its state saved, and ends."""
        if self._process is not None and not self._stdin.closed:
            with contextlib.suppress(OSError):
                self._stdin.close()

    def kill(self) -> None:
        """End the process now."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        """Wait for a worker without a cell to end; kill it if it does not."""
        if self._process is None:
            return
        self.retire()
        try:
            self._process.wait(LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        os.close(self.events)
        self._process, self._unread = None, b""

    @property
    def _stdin(self) -> IO[str]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin

    def _launch(self) -> None:
        self.events, writing = os.pipe()
        os.set_blocking(self.events, False)
        # A signal that comes while the worker starts waits until the worker can handle it.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._process = subprocess.Popen(
                [*self._arguments, "--events", str(writing)],
                stdin=subprocess.PIPE,
                stdout=2,
                pass_fds=[writing],
                env={**os.environ, **self.slot.environment},
                text=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os.close(writing)


def _share(workers: int) -> int:
    return max(1, usable_cores() // workers)
