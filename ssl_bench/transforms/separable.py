"""Linear filters applied along the three axes of a volume, one small matrix per sample and axis.

A Gaussian blur, or a loss of resolution, is a product with an (n, n) matrix along each axis. So every sample of a batch
has its own filter width without a loop, and a product with a matrix is fast everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def filter_axes(volumes: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Apply `matrices`, (B, D, D), (B, H, H) and (B, W, W), along the axes of `volumes` (B, C, D, H, W)."""
    along_depth, along_height, along_width = matrices
    with torch.autocast(volumes.device.type, enabled=False):
        filtered = (volumes.flatten(1, 3) @ along_width.mT).view_as(volumes)
        filtered = along_height.unsqueeze(1) @ filtered.flatten(1, 2)
        filtered = filtered.view_as(volumes).flatten(3)
        return (along_depth.unsqueeze(1) @ filtered).view_as(volumes)


def gaussian_matrix(length: int, sigma: Tensor, extend: bool = False) -> Tensor:
    """Gaussian filters of width `sigma` (B,) voxels, cut at 4 sigma, for an axis of n = `length` voxels; (B, n, n).

    Zeros lie outside the axis, or, with `extend`, the taps inside are renormalised, which keeps a constant constant.
    """
    sigma = sigma.view(-1, 1, 1)
    radius = (4 * sigma + 0.5).floor()
    index = torch.arange(length, device=sigma.device)
    distance = index.unsqueeze(1) - index
    weights = torch.exp(-0.5 * (distance / sigma).square()) * (distance.abs() <= radius)
    if extend:
        return weights / weights.sum(dim=-1, keepdim=True)
    reach = torch.arange(1, 4 * length, device=sigma.device)
    total = 1 + 2 * (torch.exp(-0.5 * (reach / sigma).square()) * (reach <= radius)).sum(dim=-1, keepdim=True)
    return weights / total


def low_resolution_matrix(length: int, zoom: Tensor) -> Tensor:
    """Sampling down to round(length * `zoom`) voxels by nearest neighbour and up again by cubics; (B, n, n).

    `zoom` (B,) in (0, 1]; 1 is the identity. Cubic convolution with a = -0.5; the border value continues outside.
    """
    coarse = (length * zoom).round().clamp(min=1).view(-1, 1, 1)
    centre = (torch.arange(length, device=zoom.device).view(1, -1, 1) + 0.5) * coarse / length - 0.5
    nodes = centre.floor() + torch.arange(-1, 3, device=zoom.device)
    distance = (centre - nodes).abs()
    near = (1.5 * distance - 2.5) * distance.square() + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = torch.where(distance <= 1, near, far)
    nodes = nodes.maximum(torch.zeros_like(coarse)).minimum(coarse - 1)
    source = ((nodes + 0.5) * length / coarse).floor().clamp(0, length - 1).long()
    return torch.zeros(len(zoom), length, length, device=zoom.device).scatter_add_(2, source, weights)
