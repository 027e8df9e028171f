"""Patches of a volume, as masked image modelling hides them: cells of a grid that begins at the first voxel.

Patches at the far faces are cut where the side does not divide the volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.rng import Draws


def hidden_patches(size: Sequence[int], draws: Draws, side: int, share: float) -> Tensor:
    """Which voxels of volumes of `size` are hidden: a `share` of their patches, drawn at random; bool (B, 1, D, H, W).

    As many patches in every volume, at least one, and at least one stays visible. Raises ValueError where a volume is
    no more than one patch.
    """
    grid = [-(-length // side) for length in size]
    patches = math.prod(grid)
    if patches < 2:
        raise ValueError(f"a volume of {tuple(size)} voxels is one patch of {side}: what would be hidden?")
    count = min(max(round(share * patches), 1), patches - 1)
    hidden = (draws.permutation(patches) < count).view(-1, 1, *grid)
    return spread(hidden, size, side)


def spread(patches: Tensor, size: Sequence[int], side: int) -> Tensor:
    """What holds for each patch (B, C, d, h, w), in every voxel of it: (B, C, *size)."""
    for axis, length in enumerate(size, start=2):
        patches = patches.index_select(axis, torch.arange(length, device=patches.device) // side)
    return patches


def normalised_patches(volumes: Tensor, side: int) -> Tensor:
    """`volumes` (B, C, D, H, W), every channel of every patch with mean 0 and deviation 1 (MAE, section 3).

    A patch without contrast stays without: 1e-6 is added to the variance, as in the paper's code.
    """

    def mean(values: Tensor) -> Tensor:
        of_patches = F.avg_pool3d(values, side, ceil_mode=True, count_include_pad=False)
        return spread(of_patches, values.shape[2:], side)

    centred = volumes - mean(volumes)
    return centred / (mean(centred.square()) + 1e-6).sqrt()


def coarsest_patch(crop: int, stride: int) -> int:
    """The side of a patch that is one voxel of the coarsest features; half a `crop` that has but one such voxel."""
    return min(stride, crop // 2)


def mean_where(mask: Tensor, values: Tensor) -> Tensor:
    """The mean of `values` (B, C, D, H, W) over channels and voxels in `mask` (B, 1, D, H, W), then over volumes."""
    inside = (values * mask).sum(dim=(1, 2, 3, 4)) / (mask.sum(dim=(1, 2, 3, 4)) * values.shape[1])
    return inside.mean()
