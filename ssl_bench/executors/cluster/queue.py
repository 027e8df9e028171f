"""What a SLURM cluster says: the jobs in its queue, and how long a job array may be.

Only options and output that SLURM has had since 2014 are used, and the user's ``SQUEUE_*`` variables, which hide jobs
or name other columns, are not passed on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import NamedTuple

from ssl_bench.errors import UserError

ANSWER_SECONDS = 20.0
"""How long the controller may take."""
USUAL_ARRAY = 1000
"""Tasks of one array where the cluster does not say: SLURM's own default allows 1001."""


class QueuedJob(NamedTuple):
    """One array task in SLURM's queue."""

    task: str
    """Its id, as ``1234_5``."""
    state: str
    reason: str
    """Why it waits; ``None`` for one that runs."""

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason not in ("None", "") else ""
        return f"SLURM job {self.task} {self.state.lower()}{reason}"


def queued_jobs() -> dict[str, QueuedJob]:
    """The user's array tasks by their ids; none without SLURM. Raises UserError if `squeue` does not answer."""
    if shutil.which("squeue") is None:
        return {}
    # Before SLURM 20.02 there is no --me.
    listed = _said("squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%T|%r")
    jobs = [QueuedJob(*line.strip().split("|", 2)) for line in listed.splitlines() if line.count("|") > 1]
    return {job.task: job for job in jobs}


def largest_array() -> int:
    """How many tasks one job array may have, as `scontrol` says: 1 where the cluster has no arrays.

    The usual number where it does not say.
    """
    if shutil.which("scontrol") is None:
        return USUAL_ARRAY
    try:
        limit = re.search(r"^\s*MaxArraySize\s*=\s*(\d+)", _said("scontrol", "show", "config"), re.MULTILINE)
    except UserError:
        return USUAL_ARRAY
    return max(1, int(limit[1])) if limit else USUAL_ARRAY


def _said(*call: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    try:
        done = subprocess.run(
            call, capture_output=True, text=True, errors="replace", check=False, timeout=ANSWER_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{call[0]}: no answer within {ANSWER_SECONDS:g} s; is the SLURM controller up?") from error
    if done.returncode:
        raise UserError(f"{call[0]}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
    return done.stdout
