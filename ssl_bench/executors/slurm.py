"""Cells as SLURM jobs: arrays through submitit, one array task a cell, each ``ssl-bench cell KEY``.

The submitting process may end: the same command later submits what is neither done nor queued.
The records say what is done, `squeue` what is queued; nothing else is believed.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from ssl_bench.api.executor import Devices, Executor, ExecutorFacts
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.work import Work
from ssl_bench.executors.cluster.cell_job import CellJob
from ssl_bench.executors.cluster.job_array import JobArray
from ssl_bench.executors.cluster.queue import QueuedJob, largest_array, queued_jobs
from ssl_bench.executors.cluster.settings import SlurmSettings
from ssl_bench.files import atomic_write, set_aside
from ssl_bench.planning.graph import with_pretrainings
from ssl_bench.spec.cell import Cell
from ssl_bench.store.store import Store
from ssl_bench.training.runtime import Runtime, on_one_device


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
        work.store.check_writable()
        count = submit(with_pretrainings(work.cells), work.store, self.settings, self._on_node(work.runtime))
        return f"submitted cells: {count}; the same command submits what is left, ssl-bench status says how it stands"

    def dry_run(self, work: Work) -> str:
        """The files that `run` would give to `sbatch`, in their order."""
        texts = scripts(with_pretrainings(work.cells), work.store, self.settings, self._on_node(work.runtime))
        return "\n".join(texts) or "nothing to submit"

    def _on_node(self, runtime: Runtime) -> Runtime:
        gpus, device = self.settings.gpus, self.asked.device
        device = ("cuda" if gpus else "cpu") if device == "auto" else device
        ranks = tuple(f"cuda:{index}" for index in range(gpus)) if self.asked.strategy == "ddp" else ()
        return replace(runtime, device=device, ranks=ranks)

    @classmethod
    def queued(cls, results: Path) -> Mapping[str, QueuedJob]:
        """The array tasks that wait or run, as `squeue` says."""
        return queued_cells(Store(results))


def submit(cells: Sequence[Cell], store: Store, settings: SlurmSettings, runtime: Runtime) -> int:
    """Submit those of `cells`, pre-trainings before what rests on them, that are neither done nor queued; their number.

    Raises UserError where there is no SLURM or submitit, or where a job is refused.
    """
    for command in ("sbatch", "squeue", "srun"):
        if shutil.which(command) is None:
            raise UserError(f"--executor slurm: there is no {command} here; run it where jobs are submitted")
    sbatch, queued = _sbatch(), queued_cells(store)
    arrays = job_arrays(cells, store, settings, runtime, queued)
    for array in arrays:
        for cell in array.cells:
            store.plan(cell)
    tasks = {key: job.task for key, job in queued.items()}
    for array in arrays:
        submitted = array.tasks(sbatch.submit_array(array, _logs(store), tasks.get(array.after or "")))
        _keep(submitted, store)
        tasks |= submitted
    return sum(len(array.cells) for array in arrays)


def scripts(cells: Sequence[Cell], store: Store, settings: SlurmSettings, runtime: Runtime) -> list[str]:
    """The files that `submit` would write, each below a line that says what it runs; nothing is written.

    JOB1 stands for the id that `sbatch` would give the first, and so on.
    """
    sbatch, queued = _sbatch(), queued_cells(store)
    arrays = job_arrays(cells, store, settings, runtime, queued)
    tasks = {key: job.task for key, job in queued.items()}
    texts = []
    for number, array in enumerate(arrays, 1):
        title = f"# JOB{number} of {len(arrays)}, {array.cells[0].kind} cells: {len(array.cells)}"
        texts.append(f"{title}\n{sbatch.script(array, _logs(store), tasks.get(array.after or ''))}")
        tasks |= array.tasks(f"JOB{number}")
    return texts


def job_arrays(
    cells: Sequence[Cell], store: Store, settings: SlurmSettings, runtime: Runtime, queued: Mapping[str, QueuedJob]
) -> list[JobArray]:
    """Those of `cells` that are neither done nor `queued`, in as few arrays as the cluster allows, in their order.

    Of `runtime` the device and the checkpoints count; threads are those that a job asks for. Where it has ranks, each
    pre-training gets all GPUs of `settings` and each evaluation one. Raises UserError for ranks that cannot share a
    batch.
    """
    from ssl_bench.executors.cells.data_parallel import check_shares

    missing = [cell for cell in cells if cell.key not in queued and store.record(cell) is None]
    for cell in missing:
        check_shares(cell, runtime)
    pending = queued.keys() | {cell.key for cell in missing}
    groups: dict[tuple[str, str | None], list[Cell]] = defaultdict(list)
    for cell in missing:
        # A pre-training that is done is in no queue: nothing to wait for.
        below = cell.pretraining.key if cell.pretraining else None
        groups[cell.kind, below if below in pending else None].append(cell)
    folder = store.folder.resolve()
    jobs = {"pretraining": CellJob(folder, runtime, settings), "evaluation": CellJob(folder, runtime, settings)}
    if runtime.ranks:
        jobs["evaluation"] = CellJob(folder, on_one_device(runtime), settings.model_copy(update={"gpus": 1}))
    size = settings.array_size or largest_array()
    return [
        JobArray(tuple(group[start : start + size]), jobs[kind], after)
        for (kind, after), group in sorted(groups.items(), key=lambda item: item[0][0] == "evaluation")
        for start in range(0, len(group), size)
    ]


def queued_cells(store: Store) -> dict[str, QueuedJob]:
    """The array tasks of the store's cells that are waiting or running, by the key of their cell.

    `squeue` is asked once, and only if something was submitted from here. Empty without SLURM; raises UserError if it
    does not answer.
    """
    arrays = sorted(_folder(store).glob("array-*.json"))
    alive = queued_jobs() if arrays else {}
    found = {}
    for path in arrays if alive else []:
        try:
            tasks = json.loads(path.read_text("utf-8"))
            found.update({key: alive[task] for task, key in tasks.items() if task in alive})
        except (ValueError, AttributeError):
            set_aside(path, "list of jobs", "its cells may be submitted again")
    return found


def _keep(tasks: Mapping[str, str], store: Store) -> None:
    """Write down which task runs which cell; `tasks` are those of one array, by key."""
    job = next(iter(tasks.values())).partition("_")[0]
    with atomic_write(_folder(store) / f"array-{job}.json") as temporary:
        temporary.write_text(json.dumps({task: key for key, task in tasks.items()}, indent=1), "utf-8")


def _sbatch() -> ModuleType:
    """What needs submitit. Raises UserError without it."""
    if find_spec("submitit") is None:
        raise UserError("--executor slurm: needs submitit, which is not here; pip install 'ssl-bench[slurm]'")
    from ssl_bench.executors.cluster import sbatch

    return sbatch


def _folder(store: Store) -> Path:
    return store.folder.resolve() / "slurm"


def _logs(store: Store) -> Path:
    return _folder(store) / "logs"
