"""Several heads of different seeds on standardised features, so that neither scale nor the luck of a start decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.downstream import Downstream, Kind


class EnsembleDownstream(Downstream):
    """A backbone and several heads of different seeds; the probabilities of the heads are averaged."""

    def __init__(self, backbone: Backbone, kind: Kind, classes: int, heads: int) -> None:
        self.heads = heads
        super().__init__(backbone, kind, classes)

    def read(self, features: Sequence[Tensor]) -> Tensor:
        """The mean over the heads."""
        stacked = super().read(features)
        return stacked.view(self.heads, -1, *stacked.shape[1:]).mean(dim=0)


class Ensemble(nn.Module):
    """Standardises features and gives the logits of every head, stacked along the batch: (heads * B, ...)."""

    def __init__(self, channels: Sequence[int], heads: nn.Module) -> None:
        super().__init__()
        self.standardise = nn.ModuleList(Standardise(count) for count in channels)
        self.heads = heads

    def fit(self, windows: Sequence[Sequence[Tensor]]) -> None:
        """Take the standardisation from the stages of each training window, finest first, (1, channels, ...) each."""
        for standardise, stage in zip(self.standardise, zip(*windows, strict=True), strict=True):
            assert isinstance(standardise, Standardise)
            standardise.fit(torch.squeeze(window, 0) for window in stage)

    def forward(self, *stages: Tensor) -> Tensor:
        """Features of B volumes -> logits (heads * B, ...)."""
        standard = [standardise(stage) for standardise, stage in zip(self.standardise, stages, strict=True)]
        logits: Tensor = self.heads(*standard)
        return logits


class Standardise(nn.Module):
    """Each channel to mean zero and deviation one over the training features, in float32."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def fit(self, windows: Iterable[Tensor]) -> None:
        """`windows` (channels, ...) each: a channel that does not vary is only centred."""
        self.fit_moments([channel_moments(window) for window in windows])

    def fit_moments(self, moments: Sequence[Moments]) -> None:
        """From the moments of each window."""
        mean = torch.stack([moment.mean for moment in moments]).mean(dim=0)
        square = torch.stack([moment.square for moment in moments]).mean(dim=0)
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        varies = deviation > 1e-6 * mean.abs().clamp(min=1e-6)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(varies, deviation, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, ...) of the same shape."""
        shape = (1, -1, *[1] * (features.ndim - 2))
        with torch.autocast(features.device.type, enabled=False):
            return (features - self.mean.view(shape)).div_(self.deviation.view(shape))


class Moments(NamedTuple):
    """Mean and mean square of each channel of one window, float64 (channels,)."""

    mean: Tensor
    square: Tensor


def channel_moments(window: Tensor) -> Moments:
    """Mean and mean square of every channel of (channels, ...)."""
    # Their number is named, since without channels it does not follow from what is there.
    values = window.movedim(0, -1).reshape(prod(window.shape[1:]), len(window)).double()
    return Moments(values.mean(dim=0), values.square().mean(dim=0))
