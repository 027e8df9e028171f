"""Cells as SLURM jobs: arrays through submitit, one array task a cell, each ``ssl-bench cell KEY``.

The submitting process may end: the same command later submits what is neither done nor queued.
The records say what is done, `squeue` what is queued; nothing else is believed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, PositiveInt

from ssl_bench.api.executor import Devices, Executor, ExecutorFacts, ExecutorSettings
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.work import Work
from ssl_bench.files import atomic_write, set_aside
from ssl_bench.planning.graph import with_pretrainings
from ssl_bench.spec.cell import Cell
from ssl_bench.store.store import Store
from ssl_bench.training.runtime import Runtime, on_one_device

LARGEST_ARRAY = 1000
"""MaxArraySize is 1001 on many sites."""
ANSWER_SECONDS = 20.0
"""How long `squeue` may take."""
STOP_SECONDS = 60.0
"""What a cell gets to save its checkpoint when its job is told to leave."""


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


class SlurmSettings(ExecutorSettings):
    """What a job asks for."""

    partition: str | None = None
    account: str | None = None
    minutes: PositiveInt = 60 * 24
    """Time limit. A cell that needs longer saves its state and is queued again."""
    gpus: int = Field(default=1, ge=0)
    cpus: PositiveInt = 8
    memory_gb: PositiveInt = 32
    at_once: PositiveInt = 256
    """Tasks of one array that run at the same time."""
    warning_seconds: PositiveInt = 120
    """How long before the time limit a cell is told to save its state."""
    extra: dict[str, str | int | bool] = Field(default={})
    """Any further option of sbatch, without its dashes."""


class Slurm(Executor):
    """Cells as SLURM jobs, submitted and left."""

    Settings = SlurmSettings
    facts = ExecutorFacts(title="SLURM job arrays: submit what is neither done nor queued, and leave")
    settings: SlurmSettings

    def planned_on(self) -> Devices:
        """The processor: the machine that submits says nothing about the nodes.

        On GPUs precision is bf16 unless another is asked for. Raises UserError if several GPUs are to share a batch and
        ``--slurm gpus`` does not say how many.
        """
        asked, gpus = self.asked, self.settings.gpus
        if asked.strategy == "ddp" and (asked.devices is not None or gpus < 2):
            raise UserError("--strategy ddp: under --executor slurm name how many GPUs with --slurm gpus=N, 2 or more")
        if asked.strategy == "single":
            super().planned_on()
        precision = "bf16" if gpus and asked.precision in (None, "auto") else asked.precision
        return replace(asked, device="cpu", devices=None, strategy="single", precision=precision)

    def run(self, work: Work) -> str:
        """How many cells were submitted."""
        gpus, device = self.settings.gpus, self.asked.device
        work.store.check_writable()
        device = ("cuda" if gpus else "cpu") if device == "auto" else device
        ranks = tuple(f"cuda:{index}" for index in range(gpus)) if self.asked.strategy == "ddp" else ()
        runtime = replace(work.runtime, device=device, ranks=ranks)
        count = submit(with_pretrainings(work.cells), work.store, self.settings, runtime)
        return f"submitted cells: {count}; the same command submits what is left, ssl-bench status says how it stands"

    @classmethod
    def queued(cls, results: Path) -> Mapping[str, QueuedJob]:
        """The array tasks that wait or run, as `squeue` says."""
        return queued_cells(Store(results))


class CellJob:
    """What runs on the node: the one command, as a child, so that a signal to the job leaves it time to save."""

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


def submit(cells: Sequence[Cell], store: Store, settings: SlurmSettings, runtime: Runtime) -> int:
    """Submit those of `cells`, pre-trainings before what rests on them, that are neither done nor queued; their number.

    Of `runtime` the device and the checkpoints count; threads are those that a job asks for. Where it has ranks, each
    pre-training gets all GPUs of `settings` and each evaluation one. Raises UserError where there is no SLURM or it
    refuses a job.
    """
    from ssl_bench.executors.cells.data_parallel import check_shares

    for command in ("sbatch", "squeue"):
        if shutil.which(command) is None:
            raise UserError(f"--executor slurm: there is no {command} here; run it where jobs are submitted")
    jobs = {key: job.task for key, job in queued_cells(store).items()}
    missing = [cell for cell in cells if cell.key not in jobs and store.record(cell) is None]
    for cell in missing:
        check_shares(cell, runtime)
    for cell in missing:
        store.plan(cell)
    folder = store.folder.resolve()
    job = CellJob(folder, runtime, settings)
    jobs |= _submit_all([cell for cell in missing if cell.kind == "pretraining"], store, job, None)
    if runtime.ranks:
        job = CellJob(folder, on_one_device(runtime), settings.model_copy(update={"gpus": 1}))
    waiting: dict[str | None, list[Cell]] = defaultdict(list)
    for cell in missing:
        if cell.kind == "evaluation":
            # A pre-training that is done is in no queue: nothing to wait for.
            waiting[jobs.get(cell.pretraining.key) if cell.pretraining else None].append(cell)
    for dependency, group in waiting.items():
        _submit_all(group, store, job, dependency)
    return len(missing)


def queued_cells(store: Store) -> dict[str, QueuedJob]:
    """The array tasks of the store's cells that are waiting or running, by the key of their cell.

    `squeue` is asked once, and only if something was submitted from here. Empty without SLURM; raises UserError if it
    does not answer.
    """
    arrays = sorted(_folder(store).glob("array-*.json"))
    alive = _squeue() if arrays and shutil.which("squeue") else {}
    found = {}
    for path in arrays if alive else []:
        try:
            tasks = json.loads(path.read_text("utf-8"))
            found.update({key: alive[task] for task, key in tasks.items() if task in alive})
        except (ValueError, AttributeError):
            set_aside(path, "list of jobs", "its cells may be submitted again")
    return found


def _squeue() -> dict[str, QueuedJob]:
    """The user's array tasks by their ids."""
    call = ["squeue", "--noheader", "--array", "--me", "--format=%i|%T|%r"]
    try:
        listed = subprocess.run(call, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"squeue: no answer within {ANSWER_SECONDS:g} s; is the SLURM controller up?") from error
    if listed.returncode:
        raise UserError(f"squeue: {listed.stderr.strip().splitlines()[-1] if listed.stderr.strip() else 'failed'}")
    jobs = [QueuedJob(*line.split("|", 2)) for line in listed.stdout.splitlines() if line.count("|") > 1]
    return {job.task: job for job in jobs}


def _submit_all(cells: Sequence[Cell], store: Store, job: CellJob, dependency: str | None) -> dict[str, str]:
    """Submit `cells` in as few arrays as the site allows, to start once `dependency` has succeeded; tasks by key."""
    tasks: dict[str, str] = {}
    for start in range(0, len(cells), LARGEST_ARRAY):
        tasks |= _submit_array(cells[start : start + LARGEST_ARRAY], store, job, dependency)
    return tasks


def _submit_array(cells: Sequence[Cell], store: Store, job: CellJob, dependency: str | None) -> dict[str, str]:
    import submitit
    from submitit.core.utils import FailedJobError

    settings = job.settings
    executor = submitit.AutoExecutor(folder=_folder(store) / "logs", cluster="slurm", slurm_max_num_timeout=1000)
    # Without kill-on-invalid-dep, what waits for a failed job waits for ever.
    extra: dict[str, Any] = {"kill-on-invalid-dep": "yes", **settings.extra}
    if dependency:
        extra["dependency"] = f"afterok:{dependency}"
    named = {"slurm_partition": settings.partition, "slurm_account": settings.account}
    gpus = {"slurm_gpus_per_node": settings.gpus} if settings.gpus else {}
    executor.update_parameters(
        name="ssl-bench",
        timeout_min=settings.minutes,
        cpus_per_task=settings.cpus,
        mem_gb=settings.memory_gb,
        slurm_array_parallelism=settings.at_once,
        slurm_signal_delay_s=settings.warning_seconds,
        slurm_additional_parameters=extra,
        **gpus,
        **{name: value for name, value in named.items() if value},
    )
    try:
        submitted = executor.map_array(job, [cell.key for cell in cells])
    except (FailedJobError, subprocess.CalledProcessError) as error:
        said = str(error).strip().splitlines()[-1]
        raise UserError(f"--executor slurm: sbatch refused the job: {said}; correct the [slurm] settings") from error
    tasks = {job.job_id: cell.key for job, cell in zip(submitted, cells, strict=True)}
    path = _folder(store) / f"array-{submitted[0].job_id.partition('_')[0]}.json"
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(tasks, indent=1), "utf-8")
    return {key: task for task, key in tasks.items()}


def _folder(store: Store) -> Path:
    return store.folder.resolve() / "slurm"
