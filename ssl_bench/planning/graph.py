"""The cells of a matrix and the pre-trainings they rest on, in order and planned in the store."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord
from ssl_bench.store.store import Store

Rerun = Literal["missing", "failed", "all"]
"""Which cells run: those without a success, only those that failed, or every one anew."""

PLANNING_THREADS = 16
"""Plans are small files: writing one waits for the disk, writing many at once waits as long."""


def plan_all(cells: Iterable[Cell], store: Store, rerun: Rerun) -> tuple[list[Cell], dict[str, AnyRecord]]:
    """Plan `cells` and their pre-trainings in `store`: all of them in order, and the records of those that stay.

    Raises UserError if the store cannot be written.
    """
    store.check_writable()
    graph = with_pretrainings(cells)
    try:
        with ThreadPoolExecutor(PLANNING_THREADS) as pool:
            for _ in pool.map(store.plan, graph):
                pass
    except OSError as error:
        raise UserError(f"--results {store.folder}: cannot be written ({error.strerror}); free some room") from error
    found = {} if rerun == "all" else {cell.key: store.record(cell) for cell in graph}
    return graph, {key: record for key, record in found.items() if record is not None}


def is_wanted(cell: Cell, store: Store, rerun: Rerun) -> bool:
    """Whether a cell without a record that stays has to run."""
    return rerun != "failed" or store.has_failed(cell)


def with_pretrainings(cells: Iterable[Cell]) -> list[Cell]:
    """`cells` with each pre-training they rest on once, right before the first that needs it."""
    graph: dict[str, Cell] = {}
    for cell in cells:
        if cell.pretraining is not None:
            graph.setdefault(cell.pretraining.key, cell.pretraining)
        graph.setdefault(cell.key, cell)
    return list(graph.values())
