"""The contract of an evaluation protocol: how a backbone and a task become a trained network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.cases import Case
from ssl_bench.api.downstream import Downstream, Kind
from ssl_bench.api.kinds import sized_as
from ssl_bench.api.settings import OptimiserSettings, Settings

Batch = tuple[tuple[Tensor, ...], Tensor]
"""Inputs of the trainable module and their targets."""


class CaseBatches(Interface):
    """What a protocol may see of the training cases: windows of them, or whole volumes where those have labels."""

    @property
    def cases(self) -> Sequence[Case]:
        """The training cases."""

    @property
    def whole(self) -> bool:
        """Whether a case is read whole, so that it has one window only."""

    def read(self, indices: NDArray[np.int64], positions: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Volumes (B, 1, D, H, W) and targets: labels (B, D, H, W) as in `Case`, or as floats (B,) the class, or the
        standardised number.

        `positions` (B, 3) holds, per axis, 0 for the first and 1 for the last place at which the window fits.
        """

    def draw(self, batch: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A random batch: different cases where there are enough, each window anywhere in its volume."""


class BatchSettings(Settings):
    """Windows, or whole volumes, a step."""

    segmentation: PositiveInt
    """Where voxels have labels."""
    classification: PositiveInt
    """Where whole volumes have: classes or a number."""

    def of(self, kind: Kind) -> int:
        """How many for a task of that kind."""
        size: int = getattr(self, sized_as(kind))
        return size


class ProtocolSettings(Settings):
    """What every protocol reads from the preset."""

    steps: PositiveInt
    batch: BatchSettings
    validate_every: PositiveInt
    optimiser: OptimiserSettings


class SearchSettings(ProtocolSettings):
    """What a protocol reads that looks for the learning rate and trains until validation has stopped to gain.

    `steps` is then the budget of all trainings of a cell together.
    """

    patience: PositiveInt
    """Validations without a gain after which a training ends."""
    learning_rate_ratio: float = Field(default=3.0, ge=1)
    """The grid is the optimiser's learning rate, and that divided and multiplied by this; 1 for that rate alone."""
    extensions: int = Field(ge=0)
    """So many rates more are tried, one after the other, where the best lies at the grid's edge."""
    pilot: float = Field(default=0.1, gt=0)
    """The share of the budget for which each rate is tried before the best goes on; at least one step."""

    @model_validator(mode="after")
    def pilots_fit_the_budget(self) -> Self:
        """Refuse a grid whose pilots alone need more than the budget, and one rate beyond which others are tried."""
        if self.learning_rate_ratio == 1 and self.extensions:
            raise ValueError("learning_rate_ratio=1 tries one learning rate; set extensions=0")
        if (len(self.optimisers()) + self.extensions) * self.pilot > 1:
            raise ValueError("the pilots of all learning rates need more than the budget; lower pilot or extensions")
        return self

    def search(self) -> Search:
        """The search that the harness makes."""
        pilot_steps = max(1, round(self.pilot * self.steps))
        return Search(pilot_steps, self.learning_rate_ratio, self.extensions, self.patience)

    def optimisers(self) -> tuple[OptimiserSettings, ...]:
        """One for each rate of the grid, its middle first: of rates that are equally good the first is kept."""
        rate, ratio = self.optimiser.learning_rate, self.learning_rate_ratio
        rates = (rate,) if ratio == 1 else (rate, rate / ratio, rate * ratio)
        return tuple(self.optimiser.model_copy(update={"learning_rate": each}) for each in rates)


@dataclass(frozen=True)
class Search:
    """How the harness finds the learning rate, and when it ends a training.

    Each rate is tried for `pilot_steps` from the same start. Where the best on validation lies at the edge of those
    tried, the next beyond it is tried too. The best then goes on from where its pilot ended until validation has
    stopped to gain, or it has made the steps of the budget that the pilots of all others leave where every extension is
    tried: how long a cell may train does not depend on how many it tried. What is validated and kept are averaged
    weights.
    """

    pilot_steps: int
    ratio: float
    """Between a rate and the next beyond it."""
    extensions: int
    """Rates that are tried beyond the grid at most."""
    patience: int
    """Validations without a gain after which a training ends."""


@dataclass(frozen=True)
class ProtocolFacts:
    """What is known about a protocol without running it."""

    title: str
    source: str
    frozen_backbone: bool
    reads: Literal["backbone", "encoder"] = "backbone"
    """What is read where voxels have labels; where volumes have, the encoder alone is, under every protocol."""


@dataclass(frozen=True)
class Training:
    """What learns, and from what."""

    module: nn.Module
    """Whatever is not in it stays frozen."""
    draw: Callable[[int], Batch]
    """From the step's number to a batch on any device; the same step gives the same batch."""
    optimisers: tuple[OptimiserSettings, ...]
    """Tried one after the other from the same start; the best on validation is tested, the earlier of equal ones."""
    loss: Callable[[Tensor, Tensor], Tensor]
    """From the module's output and the targets to a scalar, in float32."""
    search: Search | None = None
    """How the optimisers are tried; None to train with each of them for all steps."""


class Protocol(ABC):
    """A versioned protocol; a changed default is a new version in a new file.

    Shared by all: validation every so many steps, the best step kept (ties: the later one), the test cases read once.
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
