"""When a stage of a pre-trained backbone has collapsed, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

COLLAPSED_SHARE = 0.25
"""A stage has collapsed whose effective rank lies below this share of the random start's.

A judgement, not a law: in this benchmark GVSL fine-tuned below scratch with stages at a tenth of the random start's
rank, and a random start fine-tunes well at its own.
"""


class CollapsedStage(NamedTuple):
    """A stage that pre-training left with a fraction of the rank that it began with."""

    name: str
    rank: float
    channels: int
    start: float
    """The rank of the random start, on the same voxels."""

    def __str__(self) -> str:
        return f"{self.name} {self.rank:.1f} of {self.channels} channels, random start {self.start:.1f}"


WAY_OUT = "lower --set pretraining.optimiser.learning_rate, or train longer: docs/collapse.md"
"""What to try where a stage has collapsed."""


def collapsed_stages(ranks: Sequence[Mapping[str, float | None]], trained: Mapping[str, int]) -> list[CollapsedStage]:
    """The stages of `trained` (channels by name) that collapsed between the first and the last of `ranks`.

    The one that lost most of its rank comes first. Only a curve that begins before the first update is judged.
    """
    if len(ranks) < 2 or ranks[0].get("step") != 0:
        return []
    found = []
    for name, channels in trained.items():
        start, end = ranks[0].get(name), ranks[-1].get(name)
        if start is not None and end is not None and end < COLLAPSED_SHARE * start:
            found.append(CollapsedStage(name, end, channels, start))
    return sorted(found, key=lambda stage: stage.rank / stage.start)
