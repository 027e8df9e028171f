"""Deals cells to worker processes until each has ended."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pydantic import Field

from ssl_bench.api.executor import ExecutorSettings
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.outcomes import failed_below, failure, keep, outcome
from ssl_bench.executors.cells.run_cell import CLAIMED_SECONDS
from ssl_bench.executors.cells.stopping import Stop
from ssl_bench.executors.workers.live import LiveView
from ssl_bench.executors.workers.slots import Slot, WorkerProcess
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.store.lease import release_of_dead
from ssl_bench.store.store import Store
from ssl_bench.training.attempt import Stopped
from ssl_bench.training.runtime import Runtime

TICK_SECONDS = 0.2


class Limits(ExecutorSettings):
    """What a cell may cost beyond its own work."""

    retries: int = Field(default=1, ge=0)
    """Further attempts at a cell whose process died or took too long."""
    cell_timeout: float | None = Field(default=None, ge=1)
    """Seconds that one attempt may take."""


@dataclass(frozen=True)
class Job:
    """A cell that waits for a worker."""

    cell: Cell
    key: str
    needs: str | None
    """The key of its pre-training."""
    attempts: int = 0
    not_before: float = 0.0
    """When the job may start, in seconds on the monotonic clock."""


class Scheduler:
    """Deals cells to workers until each has ended."""

    def __init__(
        self,
        queue: Sequence[Cell],
        ended: dict[str, AnyRecord],
        store: Store,
        runtime: Runtime,
        view: LiveView,
        limits: Limits,
        stop: Stop,
    ) -> None:
        self.waiting = [Job(cell, cell.key, cell.pretraining.key if cell.pretraining else None) for cell in queue]
        self.running: dict[int, Job] = {}
        """The running jobs by the number of their worker."""
        self.workers: list[WorkerProcess] = []
        self.ended = ended
        self.store = store
        self.runtime = runtime
        self.view = view
        self.limits = limits
        self.stop = stop
        self.refusal: str | None = None
        """Why a cell refused its input."""

    @contextmanager
    def workers_on(self, slots: Sequence[Slot], anew: bool) -> Iterator[None]:
        """One worker for each slot; none of them outlives the context."""
        self.workers = [WorkerProcess(slot, self.store.folder, self.runtime, anew) for slot in slots]
        try:
            yield
        except BaseException:
            for worker in self.workers:
                worker.kill()
            raise
        finally:
            for worker in self.workers:
                worker.retire()
            for worker in self.workers:
                worker.end()

    def run(self) -> None:
        """Deal until nothing is left. Raises Stopped and UserError when every worker has ended in order."""
        while self.waiting or self.running:
            if self.stop.reason:
                for worker in self.workers:
                    worker.retire()
                if not self.running:
                    break
            else:
                self._deal()
            for number in self._with_news():
                self._hear(number)
            self._check_times()
        if self.refusal:
            raise UserError(self.refusal)
        if self.waiting:
            raise Stopped(self.stop.reason)

    def _deal(self) -> None:
        """Give each idle worker a cell that is ready; fail those whose pre-training failed.

        Half of the workers look for a pre-training first, the others take cells in their order. Otherwise either the
        last pre-training would run beside idle workers, or no row would be complete before all pre-trainings are.
        """
        unfinished = {job.key for job in (*self.waiting, *self.running.values())}
        ready = []
        for job in [each for each in self.waiting if each.needs not in unfinished]:
            pretraining = self.ended.get(job.needs or "")
            if pretraining is not None and pretraining.status == "failed":
                self.waiting.remove(job)
                self._fail(job, f"RuntimeError: {failed_below(pretraining)}")
            elif job.not_before <= time.monotonic():
                ready.append(job)
        for number in range(len(self.workers)):
            if ready and number not in self.running:
                pretrainings = [job for job in ready if job.cell.kind == "pretraining"]
                job = pretrainings[0] if pretrainings and number < len(self.workers) // 2 else ready[0]
                ready.remove(job)
                self.waiting.remove(job)
                self.running[number] = job
                self.workers[number].start(job.key)
                self.view.started(number, job.cell)

    def _with_news(self) -> list[int]:
        """The busy workers that said something or died."""
        pipes = {self.workers[number].events: number for number in self.running}
        if not pipes:
            time.sleep(TICK_SECONDS)
        readable, _, _ = select.select(list(pipes), [], [], TICK_SECONDS) if pipes else ([], [], [])
        dead = [number for number in self.running if self.workers[number].has_died()]
        return sorted({*(pipes[pipe] for pipe in readable), *dead})

    def _hear(self, number: int) -> None:
        """Note what a worker says, and whether it lives."""
        worker, job = self.workers[number], self.running[number]
        died = worker.has_died()
        for event in worker.read():
            match event["event"]:
                case "step":
                    self.view.step(number, job.cell, event["step"], event["steps"], event["words"])
                case "ended":
                    model = PretrainingRecord if job.cell.kind == "pretraining" else EvaluationRecord
                    self._settle(number, model.model_validate(event["record"]))
                    return
                case "taken":
                    if not job.not_before:
                        self.view.say(f"{job.cell.title}: {event['reason']}; it comes last")
                    self._again(number, replace(job, not_before=time.monotonic() + CLAIMED_SECONDS))
                    return
                case "refused":
                    self._again(number, job)
                    self.refusal = str(event["reason"])
                    self.stop.ask(self.refusal)
                    return
                case "stopped":
                    # This worker alone was told to stop; its state is saved.
                    self._again(number, job)
                    worker.retire()
                    return
        if died:
            self._lose(number, worker.cause_of_death())

    def _check_times(self) -> None:
        limit = self.limits.cell_timeout
        for number in list(self.running) if limit else ():
            worker = self.workers[number]
            if worker.seconds() > (limit or 0):
                worker.kill()
                self._lose(number, f"took longer than --cell-timeout {limit:g}")

    def _lose(self, number: int, reason: str) -> None:
        """The worker is gone: try its cell again, or give it up."""
        job = self.running.pop(number)
        self.view.idle(number)
        self.workers[number].end()
        # Other machines cannot know that it died.
        release_of_dead(self.store.lease_path(job.key))
        reason = f"{reason}; see logs/{job.key}.log"
        if self.stop.reason:
            self.waiting.append(job)
        elif job.attempts < self.limits.retries:
            self.view.say(f"{job.cell.title}: {reason}; trying again")
            self.waiting.insert(0, replace(job, attempts=job.attempts + 1))
        else:
            self._fail(job, reason, {"wall_seconds": round(self.workers[number].seconds(), 3)})

    def _again(self, number: int, job: Job) -> None:
        del self.running[number]
        self.view.idle(number)
        self.waiting.append(job)

    def _settle(self, number: int, record: AnyRecord) -> None:
        job = self.running.pop(number)
        self.view.idle(number)
        self._end(job, record)
        if record.status == "failed":
            # Whatever failed may have left the process, or its device, in a state that the next cell would suffer from.
            self.workers[number].retire()

    def _fail(self, job: Job, reason: str, cost: dict[str, float] | None = None) -> None:
        record = failure(job.cell, self.runtime, reason, cost or {})
        self._end(job, keep(job.cell, record, self.store)[0])

    def _end(self, job: Job, record: AnyRecord) -> None:
        self.ended[job.key] = record
        self.view.ended(job.cell, record, outcome(record))
