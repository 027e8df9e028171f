"""GVSL's spatial augmentation the way the published code goes: convolutions with 81 to 105 taps, two resamplings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.nn.warp import affine_displacement, affine_matrix, warp
from ssl_bench.transforms.spatial import SpatialSettings


def augment(volumes: Tensor, draws: Draws, settings: SpatialSettings) -> Tensor:
    """Volumes (1, C, D, H, W), affine first, then elastic; the constants are those of a crop of 128."""
    size = volumes.shape[2:]

    def symmetric(half_range: float, *shape: int) -> Tensor:
        return draws.uniform(*shape, low=-half_range, high=half_range)

    matrix = affine_matrix(
        rotation=symmetric(settings.rotation, 3),
        scale=1 + symmetric(settings.scale, 3),
        translation=symmetric(settings.translation, 3) * torch.tensor(list(size)[::-1], device=volumes.device),
        shear=symmetric(settings.shear, 6),
    )
    sigma = float(draws.uniform(low=settings.elastic_sigma[0], high=settings.elastic_sigma[1]))
    noise = draws.uniform(3, *size, low=-1.0, high=1.0)
    elastic = blur(noise, sigma) * draws.uniform(high=settings.elastic_strength).view(-1, 1, 1, 1, 1)
    return warp(warp(volumes, affine_displacement(matrix, size)), elastic)


def blur(fields: Tensor, sigma: float) -> Tensor:
    """Fields (1, 3, D, H, W), one convolution along each axis, zeros outside."""
    radius = int(4 * sigma + 0.5)
    offset = torch.arange(-radius, radius + 1, device=fields.device)
    taps = torch.exp(-0.5 * (offset / sigma).square())
    taps = taps / taps.sum()
    each = fields.transpose(0, 1)
    for axis in range(3):
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0]
        shape[2 + axis], padding[axis] = len(taps), radius
        each = F.conv3d(each, taps.view(shape), padding=padding)
    return each.transpose(0, 1)
