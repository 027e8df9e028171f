"""The contract of an evaluation protocol: how a backbone and a task become a trained network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.cases import Case
from ssl_bench.api.downstream import Downstream, Kind
from ssl_bench.api.settings import OptimiserSettings, Settings

Batch = tuple[tuple[Tensor, ...], Tensor]
"""Inputs of the trainable module and their targets."""


class CaseBatches(Interface):
    """What a protocol may see of the training cases: windows of them, or whole volumes of a classification."""

    @property
    def cases(self) -> Sequence[Case]:
        """The training cases."""

    @property
    def whole(self) -> bool:
        """Whether a case is read whole, so that it has one window only."""

    def read(self, indices: NDArray[np.int64], positions: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Volumes (B, 1, D, H, W) and targets: class indices (B, D, H, W), or 0 and 1 as floats (B,).

        `positions` (B, 3) holds, per axis, 0 for the first and 1 for the last place at which the window fits.
        """

    def draw(self, batch: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A random batch: different cases where there are enough, each window anywhere in its volume."""


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
    reads: Literal["backbone", "encoder"] = "backbone"
    """What a segmentation reads; a classification reads the encoder alone under every protocol."""


@dataclass(frozen=True)
class Training:
    """What learns, and from what."""

    module: nn.Module
    """Whatever is not in it stays frozen."""
    draw: Callable[[int], Batch]
    """From the step's number to a batch on any device; the same step gives the same batch."""
    optimisers: tuple[OptimiserSettings, ...]
    """Tried one after the other from the same start; the best on validation is tested."""


class Protocol(ABC):
    """A versioned protocol; a changed default is a new version in a new file.

    Shared by all versions of today (GVSL section 4.1 and the released code): soft Dice loss over all classes or binary
    cross-entropy, validation every so many steps, the best step kept (ties: the later one), the test cases read once.
    """

    facts: ClassVar[ProtocolFacts]
    Settings: ClassVar[type[ProtocolSettings]] = ProtocolSettings

    def __init__(self, settings: ProtocolSettings, seed: int) -> None:
        self.settings = settings
        self.seed = seed

    @abstractmethod
    def build(self, backbone: Backbone, kind: Kind, classes: int) -> Downstream:
        """The network that is trained and tested; its layers take their weights from torch's global generator."""

    @abstractmethod
    def prepare(
        self, model: Downstream, batches: CaseBatches, features: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> Training:
        """How `model`, which `build` made, is trained.

        `features` gives the model's features of a batch of volumes at the cell's precision, on its device.
        """
