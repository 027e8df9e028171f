"""What a command gives an executor to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssl_bench.planning.graph import Rerun
from ssl_bench.spec.cell import Cell
from ssl_bench.store.store import Store
from ssl_bench.training.runtime import Runtime


@dataclass(frozen=True)
class Work:
    """Cells, and all that they need to run."""

    cells: Sequence[Cell]
    """Without the pre-trainings that they rest on: see `ssl_bench.planning.graph`."""
    store: Store
    """The results folder."""
    runtime: Runtime
    """The device and its use, as `Executor.planned_on` resolved them."""
    rerun: Rerun = "missing"
    """Which of the cells run."""
    shown: bool = True
    """Whether progress goes to stderr."""
