"""Trilinear resampling of many channels at once on a processor, voxel by voxel as rows of a matrix.

PyTorch's own (`F.grid_sample`) goes through volumes number by number there. Here a voxel's channels lie side by side,
and what a position reads is a weighted sum of eight such rows: a product with a sparse matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from torch import Tensor
from torch.autograd.function import once_differentiable

CORNERS = 8
MOST_ROWS = 2**31 // CORNERS
"""Rows and their eight neighbours are counted in 32 bits."""


def sample_channels(volume: Tensor, position: Tensor) -> Tensor:
    """`volume` (B, C, D, H, W) at `position` (B, 3, d, h, w) in voxels, zeros outside: (B, C, d, h, w), channels last.

    Both are of one precision, float32 or float64, and on the processor; `volume` is finite, and like `position` has
    fewer than `MOST_ROWS` voxels in the batch. Differentiable once in both; the way back to `volume` takes one thread.
    """
    channels = volume.shape[1]
    rows = volume.movedim(1, -1).reshape(-1, channels)
    sampled: Tensor = _RowSums.apply(rows, position.flatten(2), volume.shape[2:])
    return sampled.view(len(position), *position.shape[2:], channels).movedim(-1, 1)


class _RowSums(torch.autograd.Function):
    """Rows (B D H W, C) at positions (B, 3, N) in voxels of `size` (D, H, W): (B N, C)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, position: Tensor, size: Sequence[int]) -> Tensor:
        neighbours, sides, slopes = _neighbours(position, size)
        z, y, x = sides
        weights = (z[:, None, None] * y[:, None] * x).view(CORNERS, -1).t().contiguous()
        ctx.save_for_backward(rows, neighbours, weights, *sides, *slopes)
        ctx.batch = len(position)
        return F.embedding_bag(neighbours, rows, per_sample_weights=weights, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        rows, neighbours, weights, z, y, x, slope_z, slope_y, slope_x = ctx.saved_tensors
        upstream = upstream.contiguous()
        count = len(upstream)
        starts = torch.arange(0, CORNERS * count + 1, CORNERS, dtype=neighbours.dtype)
        of_rows = of_position = None
        if ctx.needs_input_grad[0]:
            entries = (weights.view(-1).numpy(), neighbours.view(-1).numpy(), starts.numpy())
            of_rows = torch.from_numpy(csr_array(entries, shape=(count, len(rows))).T @ upstream.numpy())
        if ctx.needs_input_grad[1]:
            owner = torch.arange(count, dtype=neighbours.dtype).repeat_interleave(CORNERS)
            of_weights = torch.ops.aten._embedding_bag_per_sample_weights_backward(
                upstream, rows, neighbours.view(-1), starts[:-1], owner, 0
            )
            corners = of_weights.view(-1, CORNERS).t().contiguous().view(2, 2, 2, count)
            along_z = _blend(corners, z)
            along = (
                _blend(_blend(_blend(corners, slope_z), y), x),
                _blend(_blend(along_z, slope_y), x),
                _blend(_blend(along_z, y), slope_x),
            )
            of_position = torch.stack([each.view(ctx.batch, -1) for each in along], dim=1)
        return of_rows, of_position, None


def _neighbours(position: Tensor, size: Sequence[int]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Rows of the eight voxels around each position, (B N, 8); per axis two weights and their slopes, (2, B N) each."""
    batch, _, count = position.shape
    row = torch.arange(batch, dtype=torch.int32).repeat_interleave(count)
    sides, slopes = [], []
    for length, along in zip(size, position.movedim(1, 0).reshape(3, -1), strict=True):
        # Further outside is no different, and has no place among 32-bit integers.
        along = along.clamp(-2, length + 1)
        low = along.floor()
        node = torch.stack([low, low + 1]).int()
        inside = ((node >= 0) & (node < length)).to(along.dtype)
        sides.append(torch.stack([1 - (along - low), along - low]) * inside)
        slopes.append(torch.stack([-inside[0], inside[1]]))
        row = row.unsqueeze(-2) * length + node.clamp(0, length - 1)
    return row.view(CORNERS, -1).t().contiguous(), sides, slopes


def _blend(pairs: Tensor, weights: Tensor) -> Tensor:
    """(2, ..., N) weighted by (2, N) and summed over the two."""
    return pairs[0] * weights[0] + pairs[1] * weights[1]
