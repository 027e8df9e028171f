"""Snapshots of a pre-training: its backbone as it was after some of the steps, kept beside the one of the end.

Taking one reads and writes; nothing that is trained, drawn or counted changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ssl_bench.nn.distributed import rank
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import Snapshot
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.collapse import Stage
from ssl_bench.weights.digest import tensors_digest

RANKS_ENTRY = "ssl_bench_stage_ranks"
"""Where the metadata of a snapshot's file hold what its stages have for ranks, as JSON."""


class Snapshots:
    """Those that `cell`, a pre-training, asks for; an attempt that goes on from a checkpoint finds the earlier ones."""

    def __init__(self, cell: Cell, attempt: Attempt) -> None:
        self.cell = cell
        self.attempt = attempt

    def step_done(self, step: int, stages: Callable[[], dict[str, Stage]], save: Callable[..., Any]) -> None:
        """Keep the backbone after `step` updates if it is asked for.

        `stages` looks at its stages, `save` writes it to a path, with further metadata. Raises TakenOver.
        """
        if step not in self.cell.snapshots or rank() > 0:
            return
        ranks = json.dumps({name: stage.rank for name, stage in stages().items()})
        self.attempt.keep_snapshot(step, lambda path: save(path, {RANKS_ENTRY: ranks}))

    def kept(self) -> list[Snapshot]:
        """Those that are there; one that could not be written is missing."""
        from safetensors import safe_open

        found = []
        for step in self.cell.snapshots:
            path = self.attempt.snapshot_path(step)
            if path is None or not path.exists():
                continue
            with safe_open(path, "pt") as file:
                ranks = json.loads((file.metadata() or {}).get(RANKS_ENTRY, "{}"))
            found.append(Snapshot(step=step, sha256=tensors_digest(path), stage_ranks=ranks))
        return found
