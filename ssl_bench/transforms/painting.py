"""In-painting and out-painting: noise inside, or outside, random boxes (Models Genesis, GVSL supplement C; blocks)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.nn.transfer import constant
from ssl_bench.transforms.boxes import random_starts, uniform_integers, union_of_boxes

MARGIN = 3
"""Boxes keep this many voxels from the faces of the volume."""
CONTINUE = 0.95
"""Before each further box, the probability to go on."""


@dataclass(frozen=True)
class InPaintingSettings:
    """How many boxes, and their sides as fractions of the axis of n voxels."""

    boxes: int
    """The largest number of boxes; another box is drawn with probability 0.95 until it is reached."""
    smallest: int
    """Sides start at n // smallest."""
    largest: int
    """Sides end at n // largest."""
    inclusive: bool
    """Whether the largest side and the last start can be drawn."""


GVSL_IN_PAINTING = InPaintingSettings(boxes=30, smallest=10, largest=5, inclusive=False)
MODELS_GENESIS_IN_PAINTING = InPaintingSettings(boxes=5, smallest=6, largest=3, inclusive=True)
OUT_PAINTING_WINDOWS = 5


def in_painting(volumes: Tensor, draws: Draws, settings: InPaintingSettings) -> Tensor:
    """Replace random boxes of `volumes` (B, C, D, H, W) by uniform noise in [0, 1), the same in all channels.

    Raises ValueError on an axis too short to hold a box (less than 10 voxels).
    """
    return fill_with_noise(volumes, in_painting_mask(volumes.shape[2:], draws, settings), draws)


def out_painting(volumes: Tensor, draws: Draws) -> Tensor:
    """Replace all but one to five random windows of `volumes` (B, C, D, H, W) by uniform noise (Models Genesis).

    Raises ValueError on an axis of less than 14 voxels.
    """
    return fill_with_noise(volumes, out_painting_mask(volumes.shape[2:], draws), draws)


def in_painting_mask(size: Sequence[int], draws: Draws, settings: InPaintingSettings) -> Tensor:
    """What in-painting replaces, bool (B, 1, D, H, W)."""
    extent = constant(size, draws.device)
    low = extent // settings.smallest
    count = extent // settings.largest - low + int(settings.inclusive)
    if min(size) < 10:
        raise ValueError(f"in-painting needs at least 10 voxels along each axis, not {tuple(size)}")
    sides = uniform_integers(draws, low, count, settings.boxes, 3)
    starts = random_starts(sides, size, draws, MARGIN, settings.inclusive)
    going_on = draws.chance(CONTINUE, settings.boxes).cumprod(dim=1).bool()
    return union_of_boxes(starts, sides, size, going_on)


def out_painting_mask(size: Sequence[int], draws: Draws) -> Tensor:
    """What out-painting replaces, bool (B, 1, D, H, W)."""
    if min(size) < 14:
        raise ValueError(f"out-painting needs at least 14 voxels along each axis, not {tuple(size)}")
    extent = constant(size, draws.device)
    low = 3 * extent // 7
    cut = uniform_integers(draws, low, 4 * extent // 7 - low + 1, OUT_PAINTING_WINDOWS, 3)
    starts = random_starts(extent - cut, size, draws, MARGIN)
    going_on = draws.chance(CONTINUE, OUT_PAINTING_WINDOWS)
    going_on[:, 0] = True
    return ~union_of_boxes(starts, extent - cut, size, going_on.cumprod(dim=1).bool())


def block_mask(size: Sequence[int], draws: Draws, side: int, share: float) -> Tensor:
    """Random cubes of `side` voxels that cover at least `share` of a volume, bool (B, 1, D, H, W).

    They are cells of a grid that lies anywhere: chosen in random order until the share is reached, so that at most one
    cell more is covered. Cells that the faces of the volume cut count as what is left of them.
    """
    cells = [length // side + 2 for length in size]
    first = draws.integers(0, side, 3)
    z, y, x = (
        (torch.arange(length, device=first.device) + first[:, axis : axis + 1]) // side
        for axis, length in enumerate(size)
    )
    cell = (z[:, :, None, None] * cells[1] + y[:, None, :, None]) * cells[2] + x[:, None, None, :]
    order = draws.uniform(math.prod(cells)).gather(1, cell.flatten(1))
    last = order.kthvalue(math.ceil(share * order.shape[1]), dim=1, keepdim=True).values
    return (order <= last).view(-1, 1, *size)


def fill_with_noise(volumes: Tensor, mask: Tensor, draws: Draws) -> Tensor:
    """`volumes` with uniform noise in [0, 1) where `mask` (B, 1, D, H, W), the same noise in all channels."""
    noise = draws.uniform(1, *volumes.shape[2:]).to(volumes.dtype)
    return torch.where(mask, noise, volumes)
