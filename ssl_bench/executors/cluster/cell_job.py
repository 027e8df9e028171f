"""What a job does on its node."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ssl_bench.executors.cluster.settings import SlurmSettings
from ssl_bench.training.runtime import Runtime

STOP_SECONDS = 60.0
"""What a cell gets to save its checkpoint when its job is told to leave."""


class CellJob:
    """The one command, ``ssl-bench cell KEY``, as a child, so that a signal to the job leaves it time to save."""

    def __init__(self, results: Path, runtime: Runtime, settings: SlurmSettings) -> None:
        self.results = results
        self.runtime = runtime
        self.settings = settings

    def __call__(self, key: str) -> None:
        """Run one cell. Raises RuntimeError if it fails, or if a promised GPU is not there."""
        if self.settings.gpus and not os.environ.get("CUDA_VISIBLE_DEVICES"):
            # A requeued job may start without the GPU it was promised.
            raise RuntimeError("no GPU: CUDA_VISIBLE_DEVICES is empty")
        self.child = subprocess.Popen([
            sys.executable, "-c", "from ssl_bench.cli import main; main()", "cell", key, "--quiet", "--debug",
            "--results", str(self.results),
            *(["--strategy", "ddp", "--devices", ",".join(self.runtime.ranks)] if self.runtime.ranks
              else ["--device", self.runtime.device, "--threads", str(self.settings.cpus)]),
            "--checkpoint-seconds", str(self.runtime.checkpoint_seconds),
            *(["--checkpointing"] if self.runtime.checkpointing else []),
            *(["--log", self.runtime.log] if self.runtime.log else []),
        ])  # fmt: skip
        code = self.child.wait()
        if code:
            raise RuntimeError(f"cell {key} ended with status {code}; its record or log says why")

    def checkpoint(self, key: str) -> Any:
        """Called by submitit before preemption or the time limit: let the cell save its state, then queue it again."""
        from submitit.helpers import DelayedSubmission

        self.child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(STOP_SECONDS)
        return DelayedSubmission(CellJob(self.results, self.runtime, self.settings), key)
