"""Group normalisation in the precision of its input, with a faster way back for bf16 on a processor."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MANY_VOXELS = 16**3
"""From so many per volume on, a pass through the voxels takes longer than starting it for each volume."""


class GroupNorm(nn.GroupNorm):
    """PyTorch's in the precision of its input, whose statistics are summed in float32 in any case.

    On a GPU autocast would have this layer keep float32 copies, two and a half times the memory of all activations.
    """

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W) -> the same shape and precision."""
        if volumes.device.type == "cpu":
            normalised: Tensor = _Normalise.apply(volumes, self.weight, self.bias, self.num_groups, self.eps)
            return normalised
        with torch.autocast(volumes.device.type, enabled=False):
            weight, bias = (each.to(volumes.dtype) for each in (self.weight, self.bias))
            return F.group_norm(volumes, self.num_groups, weight, bias, self.eps)


class _Normalise(torch.autograd.Function):
    """PyTorch's on a processor, but for the way back in bf16: PyTorch's converts number by number."""

    @staticmethod
    def forward(ctx: Any, volumes: Tensor, weight: Tensor, bias: Tensor, groups: int, epsilon: float) -> Tensor:
        batch, channels, *size = volumes.shape
        volumes = volumes.contiguous(memory_format=_layout(volumes))
        normalised, mean, inverse = torch.native_group_norm(
            volumes, weight, bias, batch, channels, math.prod(size), groups, epsilon
        )
        ctx.save_for_backward(volumes, weight, mean, inverse)
        return normalised

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        volumes, weight, mean, inverse = ctx.saved_tensors
        upstream = upstream.contiguous(memory_format=_layout(volumes))
        mixed = (volumes.dtype, weight.dtype) == (torch.bfloat16, torch.float32)
        by_channels = (
            mixed and _layout(volumes) == torch.channels_last_3d and math.prod(volumes.shape[2:]) >= MANY_VOXELS
        )
        way = _channel_by_channel if by_channels else _in_full_precision
        found = zip(way(upstream, volumes, weight, mean, inverse), (volumes, weight, weight), strict=True)
        wanted = zip(found, ctx.needs_input_grad, strict=False)
        return *(gradient.to(of.dtype) if asked else None for (gradient, of), asked in wanted), None, None


def _in_full_precision(upstream: Tensor, volumes: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
    """Gradients of volumes, weight and bias by PyTorch's own way back, which takes half the time in float32."""
    batch, channels, *size = volumes.shape
    precise = torch.promote_types(volumes.dtype, torch.float32)
    upstream, volumes, weight, mean, inverse = (each.to(precise) for each in (upstream, volumes, *parameters))
    gradients: tuple[Tensor, ...] = torch.ops.aten.native_group_norm_backward(
        upstream, volumes, mean, inverse, weight, batch, channels, math.prod(size), mean.shape[1], [True] * 3
    )
    return gradients


def _channel_by_channel(
    upstream: Tensor, volumes: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, ...]:
    """The same of bf16 volumes that lie channels last, by the kernels of batch normalisation, which read bf16 fast.

    With x the normalised volumes, r the `inverse` deviation, w the weight and g what comes from upstream, the gradient
    is r (w g - mean(w g) - x mean(w g x)), means over a group. What it needs of every channel are the sums of g and of
    g x, and those are the gradients of bias and weight. The gradient is rounded to bf16 three times instead of once:
    both its terms, then their sum.
    """
    count, channels = len(volumes), volumes.shape[1]
    size = channels // mean.shape[1]
    zero, one = torch.zeros_like(weight), torch.ones_like(weight)

    def mean_over_group(sums: Tensor) -> Tensor:
        means = (weight * sums).view(-1, size).sum(1) / (size * math.prod(volumes.shape[2:]))
        return means.repeat_interleave(size)

    def linear(given: Tensor, centre: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
        """(given - centre) slope + shift, channel by channel."""
        changed: Tensor = torch.native_batch_norm(given, slope, shift, centre, one, False, 0.0, 0.0)[0]
        return changed

    of_volumes, of_weight, of_bias = torch.empty_like(volumes), torch.zeros_like(weight), torch.zeros_like(weight)
    for volume in range(count):
        at = slice(volume, volume + 1)
        centre, r = (each[volume].repeat_interleave(size) for each in (mean, inverse))
        _, with_x, alone = torch.ops.aten.native_batch_norm_backward(
            upstream[at], volumes[at], one, None, None, centre, r, True, 0.0, [False, True, True]
        )
        direct = linear(upstream[at], zero, weight * r, zero)
        by_statistics = linear(volumes[at], centre, -r * r * mean_over_group(with_x), -r * mean_over_group(alone))
        torch.add(direct, by_statistics, out=of_volumes[at])
        of_weight += with_x
        of_bias += alone
    return of_volumes, of_weight, of_bias


def _layout(volumes: Tensor) -> torch.memory_format:
    channels_last = volumes.is_contiguous(memory_format=torch.channels_last_3d)
    return torch.channels_last_3d if channels_last else torch.contiguous_format
