"""Random axis-aligned boxes: where they start and what they cover."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.nn.transfer import constant


def uniform_integers(draws: Draws, low: int | Tensor, count: Tensor, *shape: int) -> Tensor:
    """Uniform on low, low + 1, ..., low + count - 1, int64 (B, *shape), with bounds that may differ per entry."""
    # The product can round up to `count` itself.
    return low + (draws.uniform(*shape) * count).long().minimum(count - 1)


def random_starts(sides: Tensor, size: Sequence[int], draws: Draws, margin: int = 0, inclusive: bool = True) -> Tensor:
    """First voxel (B, K, 3) of boxes with `sides` (B, K, 3), at least `margin` voxels from either end of the volume.

    Models Genesis includes the last possible start; the published code of GVSL leaves it out (`inclusive=False`).
    """
    room = constant(size, sides) - sides - 2 * margin + int(inclusive)
    return uniform_integers(draws, margin, room, *sides.shape[1:])


def union_of_boxes(starts: Tensor, sides: Tensor, size: Sequence[int], active: Tensor) -> Tensor:
    """Voxels inside any of the `active` (B, K) boxes given by `starts` and `sides` (B, K, 3); bool (B, 1, D, H, W)."""
    depth, height, width = size
    inside = []
    for axis, length in enumerate(size):
        offset = torch.arange(length, device=starts.device) - starts[..., axis : axis + 1]
        inside.append(((offset >= 0) & (offset < sides[..., axis : axis + 1])).float())
    z, y, x = inside
    z = z * active.unsqueeze(-1)
    with torch.autocast(z.device.type, enabled=False):
        plane = (z.unsqueeze(-1) * y.unsqueeze(-2)).flatten(2)
        covered = plane.mT @ x
    return covered.view(-1, 1, depth, height, width) > 0.5
