"""The contract of a backbone: an encoder that gives global features, a decoder that gives local ones.

Adding a backbone is adding one file to ``ssl_bench/backbones/`` with one subclass of `Backbone`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ssl_bench.api.method_facts import Need
from ssl_bench.errors import UserError


@dataclass(frozen=True)
class BackboneFacts:
    """What is known about a backbone without building it."""

    title: str
    source: str
    """The paper or code that describes it."""
    gives: tuple[Need, ...] = ()
    """What only some backbones have and some methods need."""
    smallest_crop: int = 16
    """Side in voxels of windows below which it learns nothing, such as one that leaves a normalisation one voxel."""


class Features(NamedTuple):
    """What a backbone gives: `global_` (B, global_channels, ceil(D/stride), ...) and `local` (B, channels, D, H, W)."""

    global_: Tensor
    local: Tensor


class Backbone(nn.Module, ABC):
    """A network whose encoder gives global features and whose decoder gives local ones.

    Volumes of any size are zero-padded to multiples of `stride`, half before and half after; local features are
    cropped back, encoder stages and global features are not. Results that may change are a new backbone under a new
    name. Weights are drawn from torch's global generator, which the harness seeds; nothing random is drawn later.
    """

    facts: ClassVar[BackboneFacts]
    stride: ClassVar[int]
    """Voxels of the volume per voxel of the global features."""
    encoder_modules: ClassVar[tuple[str, ...]]
    """The attributes that hold the encoder's layers, in the order in which they are passed."""
    decoder_modules: ClassVar[tuple[str, ...]]
    """Those of the decoder."""
    checkpointing = False
    """Whether activations inside a stage are computed again for the backward pass instead of being kept."""
    modality: Literal["CT", "MR"] = "CT"
    """The modality of the volumes that will come; for a network whose weights expect another scale of intensities."""

    def __init__(self, width: int, channels_in: int = 1) -> None:
        """`width`: channels at full resolution, a multiple of 8. A subclass may raise ValueError for one it lacks.

        `channels_in`: channels of the volumes. A subclass whose `__init__` does not take it reads one.
        """
        super().__init__()
        self.width = width
        self.channels_in = channels_in

    @classmethod
    def reading(cls, channels_in: int, width: int) -> Self:
        """The backbone of `width` for volumes of so many channels. Raises UserError for one that reads one only."""
        if channels_in == 1:
            return cls(width)
        if "channels_in" not in inspect.signature(cls).parameters:
            raise UserError(
                f"the backbone {cls.facts.title} reads one channel and the volumes have {channels_in}; "
                "choose another --set backbone"
            )
        return cls(width, channels_in=channels_in)

    @property
    @abstractmethod
    def stage_channels(self) -> tuple[int, ...]:
        """Channels of the encoder's stages, finest first."""

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Voxels of the volume per voxel of each stage, finest first; by default each stage halves the one before."""
        return tuple(2**level for level, _ in enumerate(self.stage_channels))

    @property
    def global_channels(self) -> int:
        """Channels of the global features, a multiple of 8, since heads normalise groups of 8."""
        return self.stage_channels[-1]

    @property
    def local_channels(self) -> int:
        """Channels of the local features, a multiple of 8 as well."""
        return self.stage_channels[0]

    @abstractmethod
    def stages(self, volumes: Tensor) -> list[Tensor]:
        """(B, C, D, H, W) -> what each encoder stage gives for the zero-padded volumes, finest first.

        Each stage has the extent that `stage_strides` says; the last one is the global features. A network whose decoder
        looks at the volumes again gives them, zero-padded, as its first stage.
        """

    @abstractmethod
    def decode(self, stages: Sequence[Tensor]) -> Tensor:
        """The encoder's `stages`, finest first -> local features of the zero-padded volumes."""

    def encode(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W) -> global features (B, global_channels, ceil(D/stride), ...), by the encoder alone."""
        return self.stages(volumes)[-1]

    def pool(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W) -> globally averaged global features (B, global_channels), float32 under any autocast.

        Pooled features of similar volumes differ by less than bf16 resolves; so do not round them.
        """
        return self.encode(volumes).float().mean(dim=(2, 3, 4))

    def forward(self, volumes: Tensor) -> Features:
        """(B, C, D, H, W) -> global and local features."""
        stages = self.stages(volumes)
        local = self.decode(stages)
        d, h, w = volumes.shape[2:]
        left, _, top, _, front, _ = self._padding(volumes)
        return Features(stages[-1], local[:, :, front : front + d, top : top + h, left : left + w])

    def pad(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W) -> the same with zeros around, up to multiples of `stride`."""
        return F.pad(volumes, self._padding(volumes))

    def run(self, stage: nn.Module, *inputs: Tensor) -> Tensor:
        """What `stage` makes of `inputs`, its activations kept or, with `checkpointing`, computed again."""
        if self.checkpointing and torch.is_grad_enabled():
            # No layer draws random numbers, so there is no random state to restore.
            rerun: Tensor = checkpoint(stage, *inputs, use_reentrant=False, preserve_rng_state=False)
            return rerun
        out: Tensor = stage(*inputs)
        return out

    def _padding(self, volumes: Tensor) -> list[int]:
        """Zeros to add, in the order of `F.pad`: last axis first, before and after."""
        padding = []
        for size in reversed(volumes.shape[2:]):
            missing = -size % self.stride
            padding += [missing // 2, missing - missing // 2]
        return padding
