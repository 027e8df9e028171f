"""What records hold of snapshots of pre-trainings, as lines of frames."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from ssl_bench.report.columns import as_float

AVERAGED_LOSSES = 5
"""Of so many steps up to a snapshot the mean training loss is its pretext loss."""

SNAPSHOTS = (
    "setting", "data", "pretraining", "options", "task", "protocol", "cohort", "fold", "seed", "snapshot", "score",
    "key",
)  # fmt: skip
"""The columns of evaluations of snapshots: the first nine name the cell of the end of the same pre-training."""


def trajectory_of(
    losses: Sequence[float],
    snapshots: Sequence[Mapping[str, Any]],
    ranks: Sequence[Mapping[str, float | None]],
    trained: Mapping[str, int],
) -> list[tuple[int, float, float]]:
    """Step, pretext loss and stage rank of every one of `snapshots` and of the end of a pre-training.

    The stage rank is the smallest share that a stage which the method pre-trains, of `trained`, has of the effective
    rank that it began with, the first of `ranks`; NaN where a record holds none.
    """
    if not losses:
        return []
    start = ranks[0] if ranks and ranks[0].get("step") == 0 else {}
    looks = {int(one["step"]): one.get("stage_ranks", {}) for one in snapshots}
    looks[len(losses)] = ranks[-1] if len(ranks) > 1 else {}
    found = []
    for step, look in sorted(looks.items()):
        shares = [as_float(look.get(name)) / as_float(start.get(name)) for name in trained if name in start]
        loss = statistics.fmean(map(as_float, losses[max(0, step - AVERAGED_LOSSES) : step]))
        found.append((step, loss, min(shares, default=nan)))
    return found
