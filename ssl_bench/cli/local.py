"""``--executor local``: from options to slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ssl_bench.cli.option_groups import PretrainingExecution, Scheduling
from ssl_bench.cli.options import Strategy
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.executors.workers.scheduler import Limits
    from ssl_bench.executors.workers.slots import Slot


class LocalExecution(NamedTuple):
    """What ``--executor local`` and its options ask for."""

    slots: Sequence[Slot]
    limits: Limits


def local_execution(scheduling: Scheduling, execution: PretrainingExecution) -> LocalExecution | None:
    """The slots and limits of ``--executor local``; None for another executor.

    By default each CUDA device is a slot, or the processor where there is none.

    Raises UserError for options that contradict each other or the machine.
    """
    from ssl_bench.executors.workers.scheduler import Limits
    from ssl_bench.executors.workers.slots import cpu_slots, cuda_devices, device_slots

    executor, devices, workers = scheduling.executor, execution.devices, scheduling.workers
    device, threads = execution.device, execution.threads
    if executor not in ("inline", "local", "slurm", "plan"):
        raise UserError(f"--executor {executor}: unknown; use inline, local, slurm or plan")
    if executor == "plan" and execution.strategy is Strategy.ddp:
        raise UserError("--strategy ddp: a plan says nothing of devices; give it to ssl-bench cell KEY")
    if executor != "local":
        for option, value in (
            # Without a strategy they have no other use.
            ("--devices", None if execution.strategy is Strategy.ddp else devices),
            ("--workers", workers),
            ("--cell-timeout", scheduling.cell_timeout),
        ):
            if value is not None:
                raise UserError(f"{option} {value}: needs --executor local")
        return None
    if execution.strategy is Strategy.ddp:
        raise UserError("--strategy ddp: not under --executor local, whose workers have a device each; use inline")
    if devices and (workers or device != "auto"):
        raise UserError(f"--devices {devices}: leave out {'--workers' if workers else '--device'}")
    if device not in ("auto", "cpu"):
        raise UserError(f"--device {device}: under --executor local use --devices, or --workers for the processor")
    limits = Limits(scheduling.retries, scheduling.cell_timeout)
    if devices:
        return LocalExecution(device_slots([name.strip() for name in devices.split(",")], threads), limits)
    found = cuda_devices() if device == "auto" and workers is None else []
    return LocalExecution(device_slots(found, threads) if found else cpu_slots(workers or 1, threads), limits)
