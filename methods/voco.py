"""VoCo (Wu et al., CVPR 2024): tell where a crop lies by its likeness to base crops whose places are known.

A window is divided into base crops. A slowly moving teacher says what each of them is like; the student says what a
random crop is like; how alike the two are shall be how much they overlap.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice, LogUniform
from ssl_bench.nn.distributed import gathered
from ssl_bench.nn.heads import InFloat32
from ssl_bench.nn.momentum import encoder_of, follow, still_copy

CELLS = 2
"""Base crops along each axis of a window."""


class VoCoConfig(MethodConfig):
    """Momentum of the authors' code, crops of nnssl, a head of the size of SimSiam's here."""

    crops: Annotated[int, Choice((2, 4, 8))] = Field(default=4, gt=0)
    """Random crops of each volume."""
    regularisation: Annotated[float, LogUniform(0.1, 10)] = Field(default=1.0, ge=0)
    """Weight of the base crops' likeness to each other, lambda in the paper."""
    momentum: Annotated[float, Choice((0.9, 0.97, 0.99))] = Field(default=0.9, ge=0, le=1)
    """Of the teacher, in every step."""
    hidden: int = Field(default=512, gt=0)
    output: int = Field(default=128, gt=0)


class VoCo(Method):
    """Cosine likeness of a random crop to eight base crops; minus log(1 - its distance from the overlap)."""

    Config = VoCoConfig
    facts = MethodFacts(
        title="VoCo",
        paper="Wu et al., VoCo: A Simple-yet-Effective Volume Contrastive Learning Framework for 3D Medical Image "
        "Analysis, CVPR 2024",
        year=2024,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder",
    )

    def __init__(self, backbone: Backbone, config: VoCoConfig, crop: int) -> None:
        # Planning reads facts and options of a method alone, and this library takes seconds to import.
        from lightly.models.modules.heads import BYOLProjectionHead

        super().__init__(backbone, config, crop)
        self.options = config
        self.side = -(-crop // (CELLS * backbone.stride)) * backbone.stride
        """Of a crop: half the window's, in whole strides."""
        self.region = CELLS * self.side
        self.projection = InFloat32(BYOLProjectionHead(backbone.global_channels, config.hidden, config.output))
        self.teacher_encoder, self.teacher_projection = encoder_of(backbone), still_copy(self.projection)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Place random crops of `volumes` (B, C, D, H, W), windows of `region`, among their base crops."""
        starts = (draws.uniform(self.options.crops, 3) * (self.region - self.side + 1)).long()
        crops, bases = crops_at(volumes, starts, self.side), base_crops(volumes, self.side)
        student = self.projection(gathered(self.backbone.pool(torch.cat([crops, bases], dim=1).flatten(0, 1))))
        with torch.no_grad():
            teacher = self.teacher_projection(gathered(self.teacher_encoder.pool(bases.flatten(0, 1))))
        placed, of_bases = student.unflatten(0, (-1, crops.shape[1] + bases.shape[1])).split(
            [crops.shape[1], bases.shape[1]], dim=1
        )
        likeness = cosines(placed, teacher.unflatten(0, (-1, bases.shape[1])))
        prediction = prediction_loss(likeness, gathered(overlaps(starts, self.side)))
        regularisation = regularisation_loss(cosines(of_bases, of_bases))
        loss = prediction + self.options.regularisation * regularisation
        return {"loss": loss, "prediction": prediction.detach(), "regularisation": regularisation.detach()}

    def after_step(self, step: int, steps: int) -> None:
        """The teacher follows the student."""
        follow(self.teacher_encoder, self.backbone, self.options.momentum)
        follow(self.teacher_projection, self.projection, self.options.momentum)


def prediction_loss(likeness: Tensor, overlap: Tensor) -> Tensor:
    """The mean of -log(1 - d), d = |y - l|, of overlaps y and likenesses l (B, crops, n); the paper's Eq. 3.

    The likeness is not below 0, as a share is not. A distance of 1 would cost infinitely much: it counts as 1 - 1e-6.
    """
    distance = (overlap - likeness.clamp(min=0)).abs()
    return -torch.log((1 - distance).clamp(min=1e-6)).mean()


def regularisation_loss(likeness: Tensor) -> Tensor:
    """The mean |s_ij| of all pairs i < j of base crops, of their likenesses s (B, n, n); the paper's Eq. 4."""
    n = likeness.shape[-1]
    return likeness.abs().triu(1).sum(dim=(1, 2)).mean() * (2 / (n * (n - 1)))


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """(B, m, c) and (B, n, c) -> the cosine of each pair (B, m, n), in their precision under any autocast."""
    with torch.autocast(first.device.type, enabled=False):
        return F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).mT


def overlaps(starts: Tensor, side: int) -> Tensor:
    """How much of the crops at `starts` (B, crops, 3) lies in each base crop: shares (B, crops, n) that add up to 1."""
    of_cells = side * torch.arange(CELLS, device=starts.device)
    z, y, x = ((1 - (starts[..., axis, None] - of_cells).abs() / side).clamp(min=0) for axis in range(3))
    return (z[..., :, None, None] * y[..., None, :, None] * x[..., None, None, :]).flatten(2)


def base_crops(volumes: Tensor, side: int) -> Tensor:
    """(B, C, D, H, W) -> the cells of the grid (B, n, C, side, side, side), in the order of `overlaps`."""
    cells = volumes.unfold(2, side, side).unfold(3, side, side).unfold(4, side, side)
    return cells.flatten(2, 4).transpose(1, 2)


def crops_at(volumes: Tensor, starts: Tensor, side: int) -> Tensor:
    """Crops (B, crops, C, side, side, side) of `volumes` (B, C, D, H, W) that begin at `starts` (B, crops, 3)."""
    z, y, x = (starts[..., axis, None] + torch.arange(side, device=starts.device) for axis in range(3))
    height, width = volumes.shape[3:]
    voxel = (z[..., :, None, None] * height + y[..., None, :, None]) * width + x[..., None, None, :]
    channels, count = volumes.shape[1], math.prod(voxel.shape[1:])
    found = volumes.flatten(2).gather(2, voxel.view(len(volumes), 1, count).expand(-1, channels, -1))
    return found.view(len(volumes), channels, *voxel.shape[1:]).transpose(1, 2)
