"""Scratch: no pre-training at all, the row that every method is measured against."""

from __future__ import annotations

from torch import Tensor

from ssl_bench.draws import Draws
from ssl_bench.method import Method, MethodFacts


class Scratch(Method):
    """The backbone as its seed initialised it; the seed's other methods start from the same weights."""

    facts = MethodFacts(
        title="Scratch",
        paper="none: random initialisation",
        year=2023,
        version=1,
        paradigm="none",
        pretrains="nothing",
    )

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Never called: the harness skips pre-training. Raises TypeError."""
        raise TypeError("scratch has no pretext loss")
