"""The linear probe: the encoder's features at every scale, standardised, under linear heads.

It asks what the encoder knows. No decoder stands between, so methods that train the encoder alone are not read
through random layers; and channels are standardised, so the scale of the features does not decide how far a head gets.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_bench.api.kinds import of_voxels
from ssl_bench.protocols.frozen.ensemble import Ensemble, EnsembleDownstream


class Probe(EnsembleDownstream):
    """A backbone and several linear heads on the encoder's stages."""

    def make_head(self, classes: int) -> nn.Module:
        """`heads` linear heads on the same features."""
        channels, strides = self.backbone.stage_channels, self.backbone.stage_strides
        if not of_voxels(self.kind):
            return Ensemble(channels, PooledLinears(channels, self.outputs, self.heads))
        if strides[0] > 1:
            channels, strides = (0, *channels), (1, *strides)
        return Ensemble(channels, ScaleSums(channels, self.outputs, self.heads, strides))

    def features(self, volumes: Tensor) -> tuple[Tensor, ...]:
        """(B, C, D, H, W) -> the encoder's stages, finest first, (B, channels, d, h, w); of volumes (B, channels).

        The finest stage is cut to the volume; the others keep its zero padding. Where the encoder has no stage at full
        resolution there is one without channels: logits are upsampled to it.
        """
        stages = self.backbone.stages(volumes)
        if not of_voxels(self.kind):
            return tuple(stage.float().mean(dim=(2, 3, 4)) for stage in stages)
        if self.backbone.stage_strides[0] > 1:
            return (volumes.new_empty(len(volumes), 0, *volumes.shape[2:]), *stages)
        return (centre(stages[0], volumes.shape[2:]), *stages[1:])


class ScaleSums(nn.ModuleList):
    """Heads of a 1x1x1 convolution for each stage; coarse logits are upsampled and added to the next finer ones.

    Upsampling and a 1x1x1 convolution commute, so each is one linear map of all upsampled features together, without
    holding hundreds of channels at full resolution. The convolutions of all heads are one matrix product a stage.
    """

    def __init__(self, channels: Sequence[int], outputs: int, heads: int, strides: Sequence[int]) -> None:
        """`strides`: voxels of the finest stage per voxel of each stage."""
        super().__init__(ScaleSum(channels, outputs) for _ in range(heads))
        self.factors = [coarse // fine for fine, coarse in pairwise(strides)]

    def forward(self, *stages: Tensor) -> Tensor:
        """Stages (B, channels, d, h, w), finest first -> logits (heads * B, outputs, D, H, W) of the finest's size.

        Sums hold a voxel's logits side by side, which is many times faster to upsample on a processor; what comes out
        has the voxels of a class side by side, which is faster to take the softmax and the loss of.
        """
        with torch.autocast(stages[0].device.type, enabled=False):
            return self._logits(stages)

    def _logits(self, stages: Sequence[Tensor]) -> Tensor:
        heads: list[Any] = list(self)
        layers = zip(*(head.layers for head in heads), strict=True)
        weights = [torch.cat([layer.weight for layer in of_stage]).flatten(1) for of_stage in layers]
        *finer, total = [F.linear(stage.movedim(1, -1), weight) for stage, weight in zip(stages, weights, strict=True)]
        # Upsampling leaves a constant as it is, so the bias of the finest layer may join the few coarsest logits.
        total = total + torch.cat([head.layers[0].bias for head in heads])
        factors = list(self.factors)
        while finer:
            factor, upsampled = factors.pop(), total.movedim(-1, 1)
            if factor > 1:
                upsampled = F.interpolate(upsampled, scale_factor=factor, mode="trilinear", align_corners=False)
            logits = finer.pop()
            total = logits.add_(centre(upsampled, logits.shape[1:4]).movedim(1, -1))
        rows = total.flatten(0, -2)
        if rows.requires_grad:
            rows.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]
        # As a matrix: that is what torch transposes fastest.
        stacked = rows.t().contiguous().view(len(heads), -1, *total.shape[:-1])
        return stacked.transpose(1, 2).flatten(0, 1)


class ScaleSum(nn.Module):
    """The weights of one head."""

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        with warnings.catch_warnings():
            # A stage without channels has a bias and no weights.
            warnings.filterwarnings("ignore", "Initializing zero-element tensors")
            self.layers = nn.ModuleList(
                nn.Conv3d(count, outputs, 1, bias=index == 0) for index, count in enumerate(channels)
            )


class PooledLinears(nn.ModuleList):
    """Heads of one linear layer on the pooled features of all stages."""

    def __init__(self, channels: Sequence[int], outputs: int, heads: int) -> None:
        super().__init__(PooledLinear(channels, outputs) for _ in range(heads))

    def forward(self, *stages: Tensor) -> Tensor:
        """Pooled stages (B, channels) -> logits (heads * B, outputs), or (heads * B,) of a single output."""
        heads: list[Any] = list(self)
        with torch.autocast(stages[0].device.type, enabled=False):
            pooled = torch.cat(stages, dim=1)
            return torch.cat([head.layer(pooled) for head in heads]).squeeze(1)


class PooledLinear(nn.Module):
    """The weights of one head."""

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(sum(channels), outputs)


def centre(volumes: Tensor, size: Sequence[int]) -> Tensor:
    """The middle of (B, C, D, H, W), where the backbone's zero padding left the volume of `size`."""
    if volumes.shape[2:] == tuple(size):
        return volumes
    starts = [(padded - kept) // 2 for padded, kept in zip(volumes.shape[2:], size, strict=True)]
    z, y, x = (slice(start, start + kept) for start, kept in zip(starts, size, strict=True))
    return volumes[:, :, z, y, x]
