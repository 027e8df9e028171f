"""Job arrays as submitit writes them for `sbatch`: to read, or submitted."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from ssl_bench.errors import UserError
from ssl_bench.executors.cluster.job_array import JobArray
from ssl_bench.executors.cluster.settings import SlurmSettings

SAME_WISH = (
    {"mem", "mem-per-cpu", "mem-per-gpu"},
    {"gres", "gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task"},
    {"cpus-per-task", "cpus-per-gpu"},
)
"""Options of sbatch that ask for the same thing: `sbatch` refuses a second of them, or adds it to the first."""


class _Sbatch(submitit.SlurmExecutor):
    @classmethod
    def affinity(cls) -> int:
        """A file can be written where there is no SLURM."""
        return 1


def script(array: JobArray, folder: Path, dependency: str | None) -> str:
    """The file that `submit_array` gives to `sbatch`."""
    executor = _executor(array.job.settings, folder, dependency)
    if len(array.cells) > 1:
        executor.parameters["map_count"] = len(array.cells)
    return executor._make_submission_file_text(executor._submitit_command_str, "")


def submit_array(array: JobArray, folder: Path, dependency: str | None) -> str:
    """Submit `array`, to start once the task `dependency` has succeeded; the id of its job.

    `folder` keeps what submitit needs, and the output. Raises UserError if `sbatch` refuses it.
    """
    executor = _executor(array.job.settings, folder, dependency)
    try:
        submitted = executor.map_array(array.job, [cell.key for cell in array.cells])
    except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
        said = (str(error).strip().splitlines() or ["sbatch failed"])[-1]
        raise UserError(
            f"--executor slurm: sbatch refused the job: {said}; correct the [slurm] settings, such as memory_gb, "
            "array_size or extra.NAME"
        ) from error
    job: str = submitted[0].job_id.partition("_")[0]
    return job


def _executor(settings: SlurmSettings, folder: Path, dependency: str | None) -> _Sbatch:
    executor, options = _Sbatch(folder, max_num_timeout=1000), _options(settings, dependency)
    cpus = options.get("cpus-per-task")
    executor.update_parameters(
        time=settings.minutes,
        array_parallelism=settings.at_once,
        signal_delay_s=settings.warning_seconds,
        # Ours is among the options. A site that checks keys of accounting does not know submitit's.
        job_name=None,
        wckey=None,
        # From SLURM 22.05 on, srun does not take over how many the job has.
        srun_args=[f"--cpus-per-task={cpus}"] if cpus else [],
        additional_parameters=options,
    )
    return executor


def _options(settings: SlurmSettings, dependency: str | None) -> dict[str, Any]:
    """Options of sbatch by name: ours, but for those that `extra` gives or asks for in other words."""
    extra = {name.replace("_", "-"): value for name, value in settings.extra.items()}
    ours = {
        "job-name": "ssl-bench",
        "partition": settings.partition,
        "account": settings.account,
        "cpus-per-task": settings.cpus,
        "mem": settings.memory_gb and f"{settings.memory_gb}GB",
        # --gpus-per-node says the same, but not before SLURM 19.05.
        "gres": f"gpu:{settings.gpus}" if settings.gpus else None,
        # Without it, what waits for a failed job waits for ever.
        "kill-on-invalid-dep": "yes",
    }
    replaced = set(extra).union(*(group for group in SAME_WISH if group & extra.keys()))
    options = {name: value for name, value in ours.items() if value is not None and name not in replaced} | extra
    if dependency:
        options["dependency"] = f"afterok:{dependency}"
    return {name: value for name, value in options.items() if value is not False}
