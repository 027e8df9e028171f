"""Cells that one job array runs."""

from __future__ import annotations

from dataclasses import dataclass

from ssl_bench.executors.cluster.cell_job import CellJob
from ssl_bench.spec.cell import Cell


@dataclass(frozen=True)
class JobArray:
    """The cells that one file for `sbatch` runs: task i of the array runs cell i. A cell alone is no array."""

    cells: tuple[Cell, ...]
    job: CellJob
    after: str | None
    """The key of the pre-training whose success they wait for."""

    def tasks(self, job: str) -> dict[str, str]:
        """By the cells' keys, the ids of the tasks once `sbatch` has called the array `job`."""
        alone = len(self.cells) == 1
        return {cell.key: job if alone else f"{job}_{number}" for number, cell in enumerate(self.cells)}
