"""Scratch: no pre-training at all, the row that every method is measured against."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws


class ScratchConfig(MethodConfig):
    """The common schedule gives a network without pre-training fewer updates in all than the others had."""

    extra_finetune_steps: int = Field(default=0, ge=0)
    """Fine-tuning updates beyond the common schedule, for a second row that is trained to convergence."""

    def finetune_steps(self, common: int) -> int:
        """The common schedule and the extra."""
        return common + self.extra_finetune_steps


class Scratch(Method):
    """The backbone as its seed initialised it; the seed's other methods start from the same weights."""

    Config = ScratchConfig
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
