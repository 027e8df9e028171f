"""Running cells on this machine, one worker process per device slot."""

from __future__ import annotations

from collections.abc import Sequence

from ssl_bench.executors.cells.stopping import stop_by_signal
from ssl_bench.executors.workers.live import LiveView
from ssl_bench.executors.workers.scheduler import DEFAULT_LIMITS, Limits, Scheduler
from ssl_bench.executors.workers.slots import Slot
from ssl_bench.planning.graph import Rerun, is_wanted, plan_all
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord
from ssl_bench.store.store import Store
from ssl_bench.training.runtime import Runtime


def run_local(
    cells: Sequence[Cell],
    store: Store,
    runtime: Runtime,
    slots: Sequence[Slot],
    view: LiveView,
    rerun: Rerun = "missing",
    limits: Limits = DEFAULT_LIMITS,
) -> list[AnyRecord]:
    """As `run_cells`, in one worker process for each of `slots`; the records of `cells`.

    A worker that dies or exceeds the timeout is replaced and takes nothing with it; its cell is tried again and becomes
    a failure when the retries are used up. Raises UserError as soon as a cell refuses its input, Stopped if a signal
    asks for it, after every worker has saved its state.
    """
    graph, ended = plan_all(cells, store, rerun)
    queue = [cell for cell in graph if cell.key not in ended and is_wanted(cell, store, rerun)]
    with stop_by_signal() as stop, view.over(queue, len(ended)):
        scheduler = Scheduler(queue, ended, store, runtime, view, limits, stop)
        with scheduler.workers_on(slots, anew=rerun == "all"):
            scheduler.run()
    return [ended[cell.key] for cell in cells if cell.key in ended]
