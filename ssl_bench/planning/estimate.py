"""What cells will probably cost, judged by those that ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord, Setting
from ssl_bench.spec.specification import EvaluationSpec, PretrainingSpec


@dataclass(frozen=True)
class Estimate:
    """Device-hours of some cells."""

    hours: float
    """Device-hours of the cells that could be judged."""
    unjudged: int
    """Cells for which no record of their kind and setting exists."""


def estimate(cells: Sequence[Cell], records: Iterable[AnyRecord]) -> Estimate:
    """The cost of `cells` by `records` of the same setting: of the same method, task and protocol, else of the kind."""
    seconds: dict[Hashable, list[float]] = defaultdict(list)
    for record in records:
        cost = record.cost.get("device_seconds")
        if cost is not None:
            for like in _likeness(record.spec, record.setting):
                seconds[like].append(cost)
    means = {like: fmean(costs) for like, costs in seconds.items()}
    judged = [next((means[like] for like in _likeness(c.spec, c.setting) if like in means), None) for c in cells]
    return Estimate(sum(cost or 0 for cost in judged) / 3600, judged.count(None))


def _likeness(spec: PretrainingSpec | EvaluationSpec, setting: Setting) -> list[Hashable]:
    """What cells of about the same cost share, closest first."""
    of_kind = (setting.digest, spec.kind)
    if isinstance(spec, PretrainingSpec):
        return [(*of_kind, spec.method), of_kind]
    return [(*of_kind, spec.task, spec.protocol, spec.method), (*of_kind, spec.task, spec.protocol), of_kind]
