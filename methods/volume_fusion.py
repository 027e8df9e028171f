"""Volume fusion (Wang et al., MIS-FM, 2023; VolF, TIP 2025): mix boxes of one volume into another, segment how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice
from ssl_bench.nn.losses import dice_cross_entropy_loss
from ssl_bench.nn.transfer import constant
from ssl_bench.transforms.boxes import random_starts, uniform_integers

FEWEST_BOXES, MOST_BOXES = 10, 39
SMALLEST_SIDE, LARGEST_SIDE = 1 / 16, 0.625
"""Of a box, as fractions of the axis."""


class VolumeFusionConfig(MethodConfig):
    """What the pseudo-segmentation has for classes."""

    levels: Annotated[int, Choice((3, 5, 9))] = Field(default=5, gt=1)
    """Fusion coefficients, equally spaced on [0, 1]; 0 is the background class."""


class VolumeFusion(Method):
    """Cross-entropy and soft Dice over the fusion coefficient of every voxel."""

    Config = VolumeFusionConfig
    facts = MethodFacts(
        title="Volume fusion",
        paper="Wang et al., MIS-FM: 3D Medical Image Segmentation using Foundation Models Pretrained on a Large-Scale "
        "Unannotated Dataset, 2023",
        year=2023,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder and decoder",
        smallest_batch=2,
        grouped=2,
    )

    def __init__(self, backbone: Backbone, config: VolumeFusionConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.head = nn.Conv3d(backbone.local_channels, config.levels, 3, padding=1)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Fuse each of `volumes` (B, C, D, H, W) with the other of its pair, and segment the coefficients."""
        levels = level_map(volumes.shape[2:], draws, self.options.levels)
        coefficients = levels.unsqueeze(1) / (self.options.levels - 1)
        fused = coefficients * partners(volumes) + (1 - coefficients) * volumes
        return {"loss": dice_cross_entropy_loss(self.head(self.backbone(fused).local), levels)}


def partners(volumes: Tensor) -> Tensor:
    """The foreground of each of `volumes` (B, ...): the other of its pair; without one, the first of all."""
    swapped = volumes[: len(volumes) // 2 * 2].reshape(-1, 2, *volumes.shape[1:]).flip(1)
    pairs = swapped.reshape(-1, *volumes.shape[1:])
    return torch.cat([pairs, volumes[:1]]) if len(volumes) % 2 else pairs


def level_map(size: Sequence[int], draws: Draws, levels: int) -> Tensor:
    """Class indices (B, *size): 0 outside of the boxes, 1 to `levels` - 1 inside; later boxes cover earlier ones."""
    extent = constant(size, draws.device)
    low, high = ((extent * share).long().clamp(min=1) for share in (SMALLEST_SIDE, LARGEST_SIDE))
    sides = uniform_integers(draws, low, high - low + 1, MOST_BOXES, 3)
    starts = random_starts(sides, size, draws)
    drawn = draws.integers(1, levels, MOST_BOXES)
    absent = torch.arange(MOST_BOXES, device=draws.device) >= draws.integers(FEWEST_BOXES, MOST_BOXES + 1, 1)
    sides = sides.masked_fill(absent.unsqueeze(-1), 0)
    found = torch.zeros(len(draws), *size, dtype=torch.int64, device=draws.device)
    for box in range(MOST_BOXES):
        z, y, x = (_inside(starts[:, box, axis], sides[:, box, axis], length) for axis, length in enumerate(size))
        inside = (z[:, :, None] & y[:, None]).unsqueeze(-1) & x[:, None, None]
        found = torch.where(inside, drawn[:, box].view(-1, 1, 1, 1), found)
    return found


def _inside(start: Tensor, side: Tensor, length: int) -> Tensor:
    """Which of `length` places along an axis lie in boxes from `start` on, of `side`, (B,) each; bool (B, length)."""
    offset = torch.arange(length, device=start.device) - start.unsqueeze(1)
    return (offset >= 0) & (offset < side.unsqueeze(1))
