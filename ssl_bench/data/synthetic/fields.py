"""Smooth fields on a regular grid, from few random numbers on a coarse lattice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.anatomy import Triple


def smooth_noise(draws: Draws, shape: Sequence[int], spacing_mm: Triple, wavelength_mm: float) -> Tensor:
    """(B, D, H, W): noise of about unit variance without structure finer than `wavelength_mm`."""
    step = wavelength_mm / 2
    lengths = [(count - 1) * edge / step for count, edge in zip(shape, spacing_mm, strict=True)]
    lattice = draws.normal(1, *(math.ceil(length) + 3 for length in lengths))
    weights = [
        cubic_weights(torch.linspace(1, length + 1, count), nodes)
        for length, count, nodes in zip(lengths, shape, lattice.shape[2:], strict=True)
    ]
    # A cubic B-spline of independent values keeps about 0.48 of their variance along each axis.
    return spread(lattice, weights)[:, 0].div(0.48**1.5)


def spread(lattice: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """(B, C, D, H, W): lattice values (B, C, d, h, w) interpolated by weights (D, d), (H, h), (W, w)."""
    along_d, along_h, along_w = weights
    rows = along_h @ (lattice @ along_w.transpose(0, 1))
    planes = torch.matmul(along_d, rows.flatten(3))
    return planes.reshape(*planes.shape[:3], *rows.shape[3:])


def linear_weights(positions: Tensor, nodes: int) -> Tensor:
    """(L, N): linear interpolation at L positions, in units of nodes."""
    return (1 - (positions[:, None] - torch.arange(nodes)).abs()).clamp(min=0)


def cubic_weights(positions: Tensor, nodes: int) -> Tensor:
    """(L, N): cubic B-spline at L positions, in units of nodes: smooth to the second derivative."""
    distance = (positions[:, None] - torch.arange(nodes)).abs()
    inner = 2 / 3 - distance.square() + distance**3 / 2
    return torch.where(distance < 1, inner, (2 - distance).clamp(min=0) ** 3 / 6)
