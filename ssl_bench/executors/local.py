"""Running cells on this machine, one worker process per device slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from pydantic import PositiveInt

from ssl_bench.api.executor import Devices, Executor, ExecutorFacts
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.stopping import stop_by_signal
from ssl_bench.executors.cells.work import Work
from ssl_bench.executors.workers.live import LiveView
from ssl_bench.executors.workers.scheduler import Limits, Scheduler
from ssl_bench.executors.workers.slots import Slot, cpu_slots, cuda_devices, device_slots
from ssl_bench.planning.graph import is_wanted, plan_all
from ssl_bench.spec.record import AnyRecord


class LocalSettings(Limits):
    """How many workers, and how long they try."""

    workers: PositiveInt | None = None
    """So many on the processor, which share its cores; None for one on each CUDA device, or one on the processor."""


class Local(Executor):
    """One worker process for each device slot.

    A worker that dies or exceeds the timeout is replaced and takes nothing with it; its cell is tried again and becomes
    a failure when the retries are used up.
    """

    Settings = LocalSettings
    facts = ExecutorFacts(title="worker processes on this machine, one for each device")
    settings: LocalSettings

    def planned_on(self) -> Devices:
        """The device of the first slot. Raises UserError for options that contradict each other or the machine."""
        asked, workers = self.asked, self.settings.workers
        if asked.strategy == "ddp":
            raise UserError("--strategy ddp: not under --executor local, whose workers have a device each; use inline")
        if asked.devices and (workers or asked.device != "auto"):
            raise UserError(f"--devices {asked.devices}: leave out {'--workers' if workers else '--device'}")
        if asked.device not in ("auto", "cpu"):
            raise UserError(
                f"--device {asked.device}: under --executor local use --devices, or --workers for the processor"
            )
        return replace(asked, device=self.slots[0].device, devices=None)

    @cached_property
    def slots(self) -> Sequence[Slot]:
        """Where the workers run. Raises UserError for a device that is not there."""
        asked, workers = self.asked, self.settings.workers
        if asked.devices:
            return device_slots([name.strip() for name in asked.devices.split(",")], asked.threads)
        found = cuda_devices() if asked.device == "auto" and workers is None else []
        return device_slots(found, asked.threads) if found else cpu_slots(workers or 1, asked.threads)

    def run(self, work: Work) -> list[AnyRecord]:
        """The records of the cells, as `run_cells` gives them.

        Raises UserError as soon as a cell refuses its input, Stopped if a signal asks for it, after every worker has
        saved its state.
        """
        store, rerun = work.store, work.rerun
        graph, ended = plan_all(work.cells, store, rerun)
        queue = [cell for cell in graph if cell.key not in ended and is_wanted(cell, store, rerun)]
        view = LiveView([slot.name for slot in self.slots], work.shown)
        with stop_by_signal() as stop, view.over(queue, len(ended)):
            scheduler = Scheduler(queue, ended, store, work.runtime, view, self.settings, stop)
            with scheduler.workers_on(self.slots, anew=rerun == "all"):
                scheduler.run()
        return [ended[cell.key] for cell in work.cells if cell.key in ended]
