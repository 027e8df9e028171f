"""The contract of an evaluation protocol: how a backbone and a task become a trained network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn

from ssl_bench.crops import CaseBatches
from ssl_bench.heads import Downstream
from ssl_bench.settings import OptimiserSettings, Settings

Batch = tuple[Tensor, Tensor]
"""Inputs of the trainable module and their targets."""


class BatchSettings(Settings):
    """Windows, or whole volumes, a step."""

    segmentation: PositiveInt
    classification: PositiveInt


class ProtocolSettings(Settings):
    """What every protocol reads from the preset."""

    steps: PositiveInt
    batch: BatchSettings
    validate_every: PositiveInt
    optimiser: OptimiserSettings


@dataclass(frozen=True)
class ProtocolFacts:
    """What is known about a protocol without running it."""

    title: str
    source: str
    frozen_backbone: bool


class Protocol(ABC):
    """A versioned protocol; a changed default is a new version in a new file.

    Shared by all versions of today (GVSL section 4.1 and the released code): the heads of `ssl_bench.heads`, soft Dice
    loss over all classes or binary cross-entropy, validation every so many steps, the best step kept (ties: the later
    one), the test cases read once.
    """

    facts: ClassVar[ProtocolFacts]
    Settings: ClassVar[type[ProtocolSettings]] = ProtocolSettings

    def __init__(self, settings: ProtocolSettings, seed: int) -> None:
        self.settings = settings
        self.seed = seed

    @abstractmethod
    def prepare(
        self, model: Downstream, batches: CaseBatches, autocast: Callable[[Tensor], Tensor]
    ) -> tuple[nn.Module, Callable[[int], Batch]]:
        """What learns, and what it is fed at each step.

        `autocast` gives the model's features of a batch of volumes at the cell's precision, on its device. Returns
        the module to train and a function from the step's number to a batch for it; the same step gives the same
        batch. Whatever is not in the returned module stays frozen.
        """
