"""Running cells in this process, one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ssl_bench.api.executor import Executor, ExecutorFacts
from ssl_bench.executors.cells.outcomes import outcome
from ssl_bench.executors.cells.run_cell import CLAIMED_SECONDS, run_cell
from ssl_bench.executors.cells.stopping import stop_by_signal
from ssl_bench.executors.cells.work import Work
from ssl_bench.planning.graph import Rerun, is_wanted, plan_all
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord
from ssl_bench.store.store import Store
from ssl_bench.training.attempt import TakenOver
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime


class Inline(Executor):
    """Cells in this process, one after the other; several devices may share a pre-training's batch."""

    facts = ExecutorFacts(title="in this process, one cell after the other")

    def run(self, work: Work) -> list[AnyRecord]:
        """The records of the cells."""
        return run_cells(work.cells, work.store, work.runtime, Progress(work.shown), work.rerun)


def run_cells(
    cells: Sequence[Cell], store: Store, runtime: Runtime, progress: Progress, rerun: Rerun = "missing"
) -> list[AnyRecord]:
    """Plan `cells` and their pre-trainings in `store`, run what `rerun` asks for, and return the cells' records.

    Each pre-training runs once and serves all its evaluations. A cell that fails leaves a record with the reason and
    the others go on; one that another process works on comes last. Raises UserError before anything runs if the store
    cannot be written, Stopped if a signal asks for it.
    """
    graph, ended = plan_all(cells, store, rerun)
    places = {cell.key: f"[{number}/{len(graph)}] {cell.title}" for number, cell in enumerate(graph, 1)}
    queue = [cell for cell in graph if cell.key not in ended and is_wanted(cell, store, rerun)]
    if runtime.ranks:
        from ssl_bench.executors.cells.data_parallel import check_shares

        for cell in queue:
            check_shares(cell, runtime)
    seen: set[str] = set()
    with stop_by_signal() as stop:
        while queue:
            left = []
            for cell in queue:
                place, new = places[cell.key], cell.key not in seen
                seen.add(cell.key)
                if new:
                    progress.say(place)
                try:
                    ended[cell.key] = run_cell(cell, store, runtime, progress, rerun == "all", ended, stop)
                except TakenOver as taken:
                    left.append(cell)
                    if new:
                        progress.say(f"{place}: {taken}; it comes last")
                else:
                    progress.say(f"{place}: {outcome(ended[cell.key])}")
            if len(left) == len(queue):
                time.sleep(CLAIMED_SECONDS)
            queue = left
    return [ended[cell.key] for cell in cells if cell.key in ended]
