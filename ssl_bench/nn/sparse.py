"""An encoder that sees visible voxels alone (SparK, Tian et al., ICLR 2023, section 3.1), on dense tensors.

Convolutions are followed by the mask, so that features never spread into what is hidden; normalisation takes its
statistics from visible voxels; pooling takes the largest of the visible ones. That is submanifold sparse convolution,
computed where it is needed and where it is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ssl_bench.api.backbone import Backbone
from ssl_bench.errors import UserError


class SparseStages(NamedTuple):
    """What an encoder makes of visible voxels."""

    stages: list[Tensor]
    """As `Backbone.stages`; zero where nothing is visible."""
    visible: list[Tensor]
    """Which voxels of each stage have seen any visible voxel, bool (B, 1, d, h, w)."""


def sparse_stages(backbone: Backbone, volumes: Tensor, visible: Tensor) -> SparseStages:
    """Encode what is `visible`, bool (B, 1, D, H, W), of `volumes` (B, C, D, H, W); nothing else is read.

    What is padded around the volume is hidden. With everything visible and nothing padded it is `backbone.stages`.
    """
    seen = backbone.pad(visible)
    features = torch.where(seen, backbone.pad(volumes), 0)
    found = SparseStages([], [])
    for name in backbone.encoder_modules:
        stage = SparseStage(getattr(backbone, name))
        features = backbone.run(stage, features, seen)
        seen = stage.visible_after(seen)
        found.stages.append(features)
        found.visible.append(seen)
    return found


class SparseStage(nn.Module):
    """One stage of an encoder, its own layers, on visible voxels."""

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.layers = [layer for layer in stage.modules() if not any(layer.children())]

    def forward(self, features: Tensor, seen: Tensor) -> Tensor:
        """(B, c, d, h, w), zero where not `seen`, bool (B, 1, d, h, w) -> the stage's features, zero likewise."""
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool3d):
                features = layer(features.masked_fill(~seen, -torch.inf))
                seen = pooled(seen, layer)
                features = features.masked_fill(~seen, 0)
            elif isinstance(layer, nn.GroupNorm):
                features = visible_group_norm(features, seen, layer)
            elif isinstance(layer, nn.Conv3d):
                features = layer(features)
                features = features * seen.to(features.dtype)
            else:  # An activation, of zero zero.
                features = layer(features)
        return features

    def visible_after(self, seen: Tensor) -> Tensor:
        """Which voxels of the stage's features have seen any voxel that is `seen` before it."""
        for layer in self.layers:
            seen = pooled(seen, layer) if isinstance(layer, nn.MaxPool3d) else seen
        return seen


def pooled(seen: Tensor, layer: nn.MaxPool3d) -> Tensor:
    """Which voxels (B, 1, d, h, w) of what is pooled have seen any of those that are `seen`, both bool."""
    return F.max_pool3d(seen.float(), layer.kernel_size, layer.stride, layer.padding) > 0


def visible_group_norm(features: Tensor, seen: Tensor, norm: nn.GroupNorm) -> Tensor:
    """`norm` of the voxels of `features` (B, c, d, h, w) that are `seen`, by their own statistics; zero elsewhere.

    Computed in float32 or better, and returned in the precision of the features.
    """
    normalised: Tensor = _NormaliseVisible.apply(features, seen, norm.weight, norm.bias, norm.num_groups, norm.eps)
    return normalised


class _NormaliseVisible(torch.autograd.Function):
    """Group normalisation of seen voxels, and its way back by the sums that it needs: each in few passes.

    With x the normalised voxels, r the inverse deviation, w the weight and g what comes from upstream, the gradient is
    r (w g - mean(w g) - x mean(w g x)), means over the seen voxels of a group.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, seen: Tensor, weight: Tensor, bias: Tensor, groups: int, epsilon: float
    ) -> Tensor:
        values = _seen_values(features, seen)
        count = seen.sum(dim=(2, 3, 4)).clamp(min=1) * (features.shape[1] // groups)

        def mean_of_group(sums: Tensor) -> Tensor:
            """(B, c): the mean over the seen voxels of a channel's group, from sums over each channel."""
            of_groups = sums.view(len(sums), groups, -1).sum(2) / count
            return of_groups.repeat_interleave(sums.shape[1] // groups, dim=1)

        mean = mean_of_group(values.sum(dim=(2, 3, 4)))
        deviations = (values - _per_channel(mean)).mul_(seen)
        inverse = (mean_of_group(deviations.square_().sum(dim=(2, 3, 4))) + epsilon).rsqrt()
        ctx.save_for_backward(features, seen, weight, mean, inverse)
        ctx.mean_of_group = mean_of_group
        slope = inverse * weight
        return _line(values, slope, bias - mean * slope, seen).to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        features, seen, weight, mean, inverse = ctx.saved_tensors
        values, upstream = _seen_values(features, seen), _seen_values(upstream, seen)
        alone = upstream.sum(dim=(2, 3, 4))
        with_x = ((upstream * values).sum(dim=(2, 3, 4)) - mean * alone) * inverse
        of_mean, of_deviation = ctx.mean_of_group(weight * alone), ctx.mean_of_group(weight * with_x)
        slope = -inverse.square() * of_deviation
        gradient = _line(values, slope, -inverse * of_mean - mean * slope, seen)
        gradient.addcmul_(upstream, _per_channel(inverse * weight))
        return gradient.to(features.dtype), None, with_x.sum(0).to(weight), alone.sum(0).to(weight), None, None


def _seen_values(features: Tensor, seen: Tensor) -> Tensor:
    """In float32 or better, zero where not `seen`."""
    # Many times as fast as `masked_fill`; all of it is finite.
    return features.to(torch.promote_types(features.dtype, torch.float32)) * seen


def _line(values: Tensor, slope: Tensor, shift: Tensor, seen: Tensor) -> Tensor:
    """`slope` and `shift` (B, c) of every channel applied to `values`; zero where not `seen`."""
    return (values * _per_channel(slope)).add_(_per_channel(shift)).mul_(seen)


def _per_channel(values: Tensor) -> Tensor:
    return values[:, :, None, None, None]


KNOWN = (nn.Conv3d, nn.GroupNorm, nn.MaxPool3d, nn.ReLU, nn.LeakyReLU)
"""Layers whose sparse form is known; activations among them map zero to zero."""


def require_sparse(backbone: Backbone, method: str) -> None:
    """Raise UserError, naming `method`, unless the encoder of `backbone` can be run on visible voxels alone.

    Its stages must be chains of known layers: that is tried with everything visible, on which it must not differ.
    """
    way_out = f"the method {method} cannot hide voxels from it; use --backbone unet3d"
    encoder = f"the encoder of the backbone {backbone.facts.title}"
    for name in backbone.encoder_modules:
        for layer in SparseStage(getattr(backbone, name)).layers:
            if not isinstance(layer, KNOWN):
                raise UserError(f"{encoder} has a {type(layer).__name__} in {name}: {way_out}")
    probe = torch.linspace(0, 1, backbone.channels_in * backbone.stride**3).sqrt().view(1, -1, *[backbone.stride] * 3)
    with torch.no_grad():
        sparse = sparse_stages(backbone, probe, torch.ones_like(probe[:, :1], dtype=torch.bool)).stages
        dense = backbone.stages(probe)
    if not all(a.shape == b.shape and torch.allclose(a, b, atol=1e-3) for a, b in zip(sparse, dense, strict=True)):
        raise UserError(f"{encoder} is more than its layers in turn: {way_out}")
