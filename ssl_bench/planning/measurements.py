"""Which cells a protocol without a gradient can measure, and the controls that stand beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ssl_bench.api.controls import CONTROL_PREFIX
from ssl_bench.api.kinds import sized_as
from ssl_bench.api.measurement import Measurement
from ssl_bench.api.registry import PROTOCOLS, TASKS
from ssl_bench.planning.leaving_out import with_sense
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.specification import EvaluationSpec


def with_controls(cells: Sequence[Cell], planner: Planner) -> list[Cell]:
    """`cells`, and after them the controls of every measurement among them, each once."""
    specs = [cell.evaluation for cell in cells]
    # All rows of a column and seed share their controls.
    asked = dict.fromkeys(
        (spec.backbone.network, spec.task, spec.protocol, spec.seed, spec.data.fold) for spec in specs
    )
    added: dict[str, Cell] = {}
    for network, task, protocol, seed, fold in asked:
        plugin = PROTOCOLS.load(protocol)
        for control in plugin.controls if issubclass(plugin, Measurement) else ():
            name = f"{CONTROL_PREFIX}{control}"
            found = planner.on_backbone(network).evaluation(name, task, protocol, seed, fold=fold)
            if not why_unmeasured(found):
                added[found.key] = found
    known = {cell.key for cell in cells}
    return [*cells, *(cell for key, cell in added.items() if key not in known)]


def measurable(cells: Iterable[Cell]) -> tuple[list[Cell], list[str]]:
    """Those of `cells` that their protocols can score, and why they cannot the others, each reason once.

    Raises UserError if none is left.
    """
    return with_sense(cells, why_unmeasured, "{}; choose another protocol or task")


def why_unmeasured(cell: Cell) -> str:
    """Why the protocol of `cell` says nothing of its task, or has no such control; empty where it does."""
    spec, plugin = cell.evaluation, PROTOCOLS.load(cell.evaluation.protocol)
    if not issubclass(plugin, Measurement):
        return f"{spec.protocol} trains, and {spec.method} has nothing to train" if spec.control else ""
    facts, generator = TASKS.load(spec.task).facts, TASKS.load(spec.task).generator
    if facts.kind not in plugin.metrics:
        return f"{spec.protocol} measures no {facts.kind} such as {spec.task}"
    if spec.control and spec.control not in plugin.controls:
        return f"{spec.protocol} has no {spec.method}; it has {', '.join(plugin.controls)}"
    known = not spec.data.is_real and generator is not None and generator.knows_points
    if (plugin.needs_truth or spec.control == "truth") and not known:
        return f"{spec.protocol} of {spec.row} needs true partners, which nobody knows for the cases of {spec.task}"
    if plugin.compares_cases and getattr(spec.data.counts, spec.scored_on) < 2:
        return _why_alone(spec)
    return ""


def _why_alone(spec: EvaluationSpec) -> str:
    """That a task has one case to compare with others, and where more come from."""
    if spec.data.is_real:
        where, more = f"fold {spec.data.fold} of {spec.task}", "--split FILE or --cross-validation K deals more"
    else:
        sizes = sized_as(TASKS.load(spec.task).facts.kind)
        where, more = spec.task, f"--set cohort.{sizes}.{spec.scored_on}=2 is the least"
    return f"{spec.protocol} compares {spec.scored_on} cases with each other, and {where} has one; {more}"
