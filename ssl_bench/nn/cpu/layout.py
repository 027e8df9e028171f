"""Many channels of a volume turned from voxel by voxel to channel by channel, and their gradient back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

MANY_CHANNELS = 16
"""With fewer, PyTorch's own copy is as fast, and may be one with the conversion to another precision."""


def channels_first(volumes: Tensor) -> Tensor:
    """(B, C, D, H, W) -> the same values, contiguous if they lay channels last; then their gradient lies so too.

    A convolution leaves the channels of a voxel side by side and wants its gradient so; softmax and losses want the
    voxels of a channel side by side. Of 58 channels each way takes half the time of PyTorch's own copy. Few channels
    stay as they are, and so does what lies on a GPU.
    """
    channels_last = volumes.is_contiguous(memory_format=torch.channels_last_3d)
    if volumes.device.type != "cpu" or volumes.shape[1] < MANY_CHANNELS or not channels_last:
        return volumes
    turned: Tensor = _ChannelsFirst.apply(volumes)
    return turned


class _ChannelsFirst(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, volumes: Tensor) -> Tensor:
        return _transposed(volumes.movedim(1, -1).flatten(1, 3)).view(volumes.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        batch, channels, *size = upstream.shape
        return _transposed(upstream.flatten(2)).view(batch, *size, channels).movedim(-1, 1)


def _transposed(matrices: Tensor) -> Tensor:
    """(B, M, N) -> (B, N, M), one by one: PyTorch has a fast way for a single matrix alone."""
    found = matrices.new_empty(len(matrices), *matrices.shape[:0:-1])
    for matrix, out in zip(matrices, found, strict=True):
        out.copy_(matrix.t())
    return found
