"""Which cells the swap ablation ``--reset`` leaves without a question, and why."""

from __future__ import annotations

from collections.abc import Iterable

from ssl_bench.api.kinds import of_voxels
from ssl_bench.api.registry import PROTOCOLS, TASKS
from ssl_bench.planning.leaving_out import with_sense
from ssl_bench.spec.cell import Cell


def with_a_question(cells: Iterable[Cell]) -> tuple[list[Cell], list[str]]:
    """Those of `cells` that differ from others by what is reset in them, and why the others do not, each reason once.

    Raises UserError if none is left.
    """
    return with_sense(cells, why_pointless, "--reset: {}; leave --reset out")


def why_pointless(cell: Cell) -> str:
    """Why the evaluation `cell` would repeat one without ``--reset``; empty where it does not, or resets nothing."""
    spec, pretrains = cell.evaluation, cell.backbone.pretrains
    reset, facts = spec.reset, PROTOCOLS.load(spec.protocol).facts
    if not reset:
        return ""
    if pretrains == "nothing":
        return f"{spec.method} pre-trains nothing, so that its {reset} is random anyway"
    if pretrains == "encoder":
        if reset == "encoder":
            return f"{spec.method} pre-trains the encoder alone: without it, it is scratch"
        # A file may hold the decoder of another seed.
        if not cell.backbone.is_external:
            return f"{spec.method} pre-trains the encoder alone, so that its decoder is random anyway"
    if reset == "decoder" and (facts.reads == "encoder" or not of_voxels(TASKS.load(spec.task).facts.kind)):
        return f"{spec.task} under {spec.protocol} reads the encoder alone"
    return ""
