"""Heads on what the paper's heads read, the backbone's local features or the pooled global ones, standardised."""

from __future__ import annotations

from torch import Tensor, nn

from ssl_bench.api.kinds import of_voxels
from ssl_bench.nn.cpu.layout import channels_first
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.protocols.frozen.ensemble import Ensemble, EnsembleDownstream
from ssl_bench.protocols.frozen.probe import PooledLinears


class StandardisedDownstream(EnsembleDownstream, PaperDownstream):
    """A backbone and several of the paper's heads on its standardised features."""

    def make_head(self, classes: int) -> nn.Module:
        """`heads` 3x3x3 convolutions on local features, or linear layers on pooled global ones."""
        if of_voxels(self.kind):
            channels = self.backbone.local_channels
            return Ensemble((channels,), ConvolutionHeads(channels, self.outputs, self.heads))
        channels = self.backbone.global_channels
        return Ensemble((channels,), PooledLinears((channels,), self.outputs, self.heads))


class ConvolutionHeads(nn.Module):
    """Heads of one 3x3x3 convolution, all computed as one."""

    def __init__(self, channels: int, outputs: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.convolution = nn.Conv3d(channels, heads * outputs, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Standardised (B, channels, D, H, W) -> logits (heads * B, outputs, D, H, W)."""
        logits = channels_first(self.convolution(features))
        batch, _, *size = logits.shape
        return logits.view(batch, self.heads, -1, *size).transpose(0, 1).flatten(0, 1)
