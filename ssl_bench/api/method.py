"""The contract of a self-supervised method: a backbone in, a pretext loss out.

Adding a method is adding one file to ``methods/`` with one subclass of `Method`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method_facts import MethodFacts as MethodFacts
from ssl_bench.api.rng import Draws


class MethodConfig(BaseModel):
    """A method's own options; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def finetune_steps(self, common: int) -> int:
        """Updates of a protocol that trains the whole network, given those of the common schedule."""
        return common


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
        """Those windows in order, (b, 1, D, H, W) each, on the device."""

    def first_voxels(self, windows: Windows) -> NDArray[np.int64]:
        """(B, 3): where those windows begin; windows of one volume that begin at one voxel are the same."""


class Method(nn.Module, ABC):
    """A pretext task around a backbone.

    Subclasses set `facts`, may define their own `Config`, and implement `training_step`. Everything random comes from
    the `draws` they are given. The harness autocasts: compute losses in float32.
    """

    facts: ClassVar[MethodFacts]
    Config: ClassVar[type[MethodConfig]] = MethodConfig
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

        `volumes` is (B, 1, D, H, W) in [0, 1] on the device; they are different images. `draws` holds one random
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
        """What the pretext makes of two held-out volumes (2, 1, D, H, W), to be looked at; None for nothing to show.

        Titles to volumes (B, 1, D, H, W) in [0, 1], of which the report shows the middle slice of the first. Under the
        title `displacement` (B, 3, D, H, W) in voxels, channels (D, H, W), it draws a deformed grid. Called once,
        without gradients, when the pre-training has ended.
        """
        return None

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
