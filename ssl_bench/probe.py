"""The linear probe: the encoder's features at every scale, standardised, under linear heads.

It asks what the encoder knows. No decoder stands between, so methods that train the encoder alone are not read
through random layers; and channels are standardised, so the scale of the features does not decide how far a head gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_bench.backbone import Backbone
from ssl_bench.heads import Downstream, Kind


class Probe(Downstream):
    """A backbone and several linear heads of different seeds; the probabilities of the heads are averaged."""

    def __init__(self, backbone: Backbone, kind: Kind, classes: int, heads: int) -> None:
        self.heads = heads
        super().__init__(backbone, kind, classes)

    def make_head(self, classes: int) -> nn.Module:
        """`heads` linear heads on the same features."""
        channels = self.backbone.stage_channels
        make = ScaleSum if self.kind == "segmentation" else PooledLinear
        return Ensemble(channels, [make(channels, classes) for _ in range(self.heads)])

    def features(self, volumes: Tensor) -> tuple[Tensor, ...]:
        """(B, 1, D, H, W) -> the encoder's stages, finest first, (B, channels, d, h, w); pooled for a classification.

        The finest stage is cut to the volume; the others keep its zero padding.
        """
        stages = self.backbone.stages(volumes)
        if self.kind == "classification":
            return tuple(stage.float().mean(dim=(2, 3, 4)) for stage in stages)
        return (centre(stages[0], volumes.shape[2:]), *stages[1:])

    def probabilities(self, volumes: Tensor) -> Tensor:
        """The mean over the heads."""
        stacked = super().probabilities(volumes)
        return stacked.view(self.heads, -1, *stacked.shape[1:]).mean(dim=0)


class Ensemble(nn.Module):
    """Standardises features and gives the logits of every head, stacked along the batch: (heads * B, ...)."""

    def __init__(self, channels: Sequence[int], heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.standardise = nn.ModuleList(Standardise(count) for count in channels)
        self.heads = nn.ModuleList(heads)

    def fit(self, stages: Sequence[Tensor]) -> None:
        """Take the standardisation from training features, finest stage first, (N, channels, ...) each."""
        for standardise, stage in zip(self.standardise, stages, strict=True):
            assert isinstance(standardise, Standardise)
            standardise.fit(stage)

    def forward(self, *stages: Tensor) -> Tensor:
        """Features of B volumes -> logits (heads * B, ...)."""
        with torch.autocast(stages[0].device.type, enabled=False):
            standard = [standardise(stage) for standardise, stage in zip(self.standardise, stages, strict=True)]
            return torch.cat([head(*standard) for head in self.heads])


class Standardise(nn.Module):
    """Each channel to mean zero and deviation one over the training features, in float32."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def fit(self, features: Tensor) -> None:
        """`features` (N, channels, ...): a channel that does not vary is only centred."""
        moments = [channel_moments(window) for window in features]
        mean = torch.stack([moment.mean for moment in moments]).mean(dim=0)
        square = torch.stack([moment.square for moment in moments]).mean(dim=0)
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        varies = deviation > 1e-6 * mean.abs().clamp(min=1e-6)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(varies, deviation, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, ...) of the same shape."""
        shape = (1, -1, *[1] * (features.ndim - 2))
        return (features.float() - self.mean.view(shape)) / self.deviation.view(shape)


class ScaleSum(nn.Module):
    """A 1x1x1 convolution for each stage; coarse logits are upsampled and added to the next finer ones.

    Upsampling and a 1x1x1 convolution commute, so this is one linear map of all upsampled features together, without
    holding hundreds of channels at full resolution.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv3d(count, 1 + classes, 1, bias=index == 0) for index, count in enumerate(channels)
        )

    def forward(self, *stages: Tensor) -> Tensor:
        """Stages, finest first -> logits (B, 1 + classes, D, H, W) of the finest stage's size."""
        logits = [layer(stage) for layer, stage in zip(self.layers, stages, strict=True)]
        total: Tensor = logits.pop()
        while logits:
            upsampled = F.interpolate(total, scale_factor=2, mode="trilinear", align_corners=False)
            finer = logits.pop()
            total = finer + centre(upsampled, finer.shape[2:])
        return total


class PooledLinear(nn.Module):
    """One linear layer on the pooled features of all stages."""

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(sum(channels), 1)

    def forward(self, *stages: Tensor) -> Tensor:
        """Pooled stages (B, channels) -> logit (B,)."""
        logit: Tensor = self.layer(torch.cat(stages, dim=1)).flatten()
        return logit


class Moments(NamedTuple):
    """Of one window's channels, in float64."""

    mean: Tensor
    square: Tensor


def channel_moments(window: Tensor) -> Moments:
    """Mean and mean square of every channel of (channels, ...)."""
    values = window.double().flatten(1) if window.ndim > 1 else window.double().unsqueeze(1)
    return Moments(values.mean(dim=1), values.square().mean(dim=1))


def centre(volumes: Tensor, size: Sequence[int]) -> Tensor:
    """The middle of (B, C, D, H, W), where the backbone's zero padding left the volume of `size`."""
    starts = [(padded - kept) // 2 for padded, kept in zip(volumes.shape[2:], size, strict=True)]
    z, y, x = (slice(start, start + kept) for start, kept in zip(starts, size, strict=True))
    return volumes[:, :, z, y, x]
