"""The contract of a self-supervised method: a backbone in, a pretext loss out.

Adding a method is adding one file to ``methods/`` with one subclass of `Method`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method_facts import MethodFacts as MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice, LogUniform
from ssl_bench.api.settings import OptimiserSettings


class MethodConfig(BaseModel):
    """A method's options; unknown ones are refused. Those here every method has: None is what the preset says for all.

    The first five concern pre-training, those that begin with ``finetune_`` the protocols that train the whole network.
    All are part of a cell's key. A range in an option's type is where ``ssl-bench tune`` looks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: Annotated[PositiveFloat | None, LogUniform(1e-5, 3e-3)] = None
    """The highest of the schedule."""
    warmup_share: Annotated[float | None, Field(ge=0, lt=1), Choice((0.0, 0.05, 0.2))] = None
    """The share of the steps over which the learning rate rises."""
    weight_decay: Annotated[float | None, Field(ge=0), Choice((0.0, 0.01, 0.1))] = None
    """Decoupled from the gradient (Loshchilov and Hutter, ICLR 2019): with any but 0, adam becomes adamw."""
    optimiser: Literal["adam", "adamw", "sgd"] | None = None
    batch: Annotated[PositiveInt | None, Choice((4, 8))] = None
    """Volumes a step."""
    finetune_learning_rate: Annotated[PositiveFloat | None, LogUniform(1e-4, 1e-2)] = None
    finetune_warmup_share: Annotated[float | None, Field(ge=0, lt=1), Choice((0.0, 0.05))] = None
    """A tenth of the steps is the pilot of a learning rate under finetune-v2; a longer warm-up would decide it."""
    finetune_weight_decay: Annotated[float | None, Field(ge=0), Choice((0.0, 0.01, 0.1))] = None

    def finetune_steps(self, common: int) -> int:
        """Updates of a protocol that trains the whole network, given those of the common schedule."""
        return common

    def pretraining_optimiser(self, common: OptimiserSettings, steps: int) -> OptimiserSettings:
        """The optimiser of so many `steps` of pre-training, given the `common` one."""
        named = common if self.optimiser is None else common.model_copy(update={"name": self.optimiser})
        return named.changed(steps, self.learning_rate, self.warmup_share, self.weight_decay)

    def finetune_optimiser(self, common: OptimiserSettings, steps: int) -> OptimiserSettings:
        """That of a protocol that trains the whole network for so many `steps`."""
        return common.changed(
            steps, self.finetune_learning_rate, self.finetune_warmup_share, self.finetune_weight_decay
        )


class Windows(NamedTuple):
    """Which windows of the corpus make a batch."""

    volumes: NDArray[np.int64]
    """(B,) indices into the corpus."""
    positions: NDArray[np.float64]
    """(B, 3) place of the window in its volume per axis: 0 at the start, 1 flush with the end."""


class CorpusView(Protocol):
    """What a method may see of the corpus when it refreshes itself."""

    def __len__(self) -> int:
        """The number of volumes."""

    def batches(self, windows: Windows) -> Iterator[Tensor]:
        """Those windows in order, (b, C, D, H, W) each, on the device."""

    def first_voxels(self, windows: Windows) -> NDArray[np.int64]:
        """(B, 3): where those windows begin; windows of one volume that begin at one voxel are the same."""


class Method(nn.Module, ABC):
    """A pretext task around a backbone.

    Subclasses set `facts`, may define their own `Config`, and implement `training_step`. Everything random comes from
    the `draws` they are given. The harness autocasts: compute losses in float32.
    """

    facts: ClassVar[MethodFacts]
    Config: ClassVar[type[MethodConfig]] = MethodConfig
    matching_modules: ClassVar[tuple[str, ...]] = ()
    """The attributes that hold what `displacement` needs besides the backbone; empty where the method matches nothing.
    They are kept beside the backbone that a pre-training leaves."""
    refresh_every: int | None = None
    """Steps between calls of `refresh`; None for never."""

    def __init__(self, backbone: Backbone, config: MethodConfig, crop: int) -> None:
        """`crop` is the side in voxels of what the backbone shall see; constants in voxels scale with it."""
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.crop = crop
        self.region = crop
        """Side in voxels of the windows that will come: the crop, or more where views are taken out of them."""

    @abstractmethod
    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """The pretext loss of a batch.

        `volumes` is (B, C, D, H, W) in [0, 1] on the device; they are different images. `draws` holds one random
        stream per volume. Returns ``{"loss": scalar}``; further scalars are logged.
        """

    def held_out_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor] | None:
        """The same on held-out volumes, without learning; None if the pretext has no meaning outside the corpus."""
        return self.training_step(volumes, draws)

    def choose_windows(self, corpus_size: int, batch: int, generator: np.random.Generator) -> Windows:
        """The windows of the next batch: different volumes, all cut at the same relative place.

        One place for all keeps the anatomies of a batch alike, which is what geometric similarity rests on.
        """
        volumes = generator.choice(corpus_size, size=batch, replace=False)
        return Windows(volumes, np.repeat(generator.random((1, 3)), batch, axis=0))

    def example(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor] | None:
        """What the pretext makes of two held-out volumes (2, C, D, H, W), to be looked at; None for nothing to show.

        Titles to volumes (B, C, D, H, W) in [0, 1], of which the report shows the middle slice of the first. Under the
        title `displacement` (B, 3, D, H, W) in voxels, channels (D, H, W), it draws a deformed grid. Called once,
        without gradients, when the pre-training has ended.
        """
        return None

    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Where each voxel of `fixed` lies in `moving`, both (B, C, D, H, W), as the method itself matches the two.

        (B, 3, D, H, W) in voxels, channels (D, H, W). Asked of a method with `matching_modules` alone, without
        gradients, with volumes of any size.
        """
        raise NotImplementedError

    def optimised_parameters(self) -> list[nn.Parameter]:
        """What the harness's optimiser updates; a method that leaves some out updates those in `after_step`."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def refresh(self, corpus: CorpusView, step: int, generator: np.random.Generator) -> None:
        """Called before step 0 and every `refresh_every` steps, without gradients: clusters, queues, ..."""

    def after_step(self, step: int, steps: int) -> None:
        """Called after every optimiser step: moving averages, ..."""

    def measures(self) -> dict[str, float]:
        """What else the record of the pre-training shall keep, by name; asked once, at its end."""
        return {}


def scale_voxels(voxels: float, crop: int, smallest: float) -> float:
    """A constant that its paper gives in voxels of a 128^3 crop, for a crop of another side."""
    return max(smallest, voxels * crop / 128)
