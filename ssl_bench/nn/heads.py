"""Heads on a backbone: the paper's downstream heads, and restoration."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_bench.api.downstream import Downstream
from ssl_bench.api.kinds import of_voxels
from ssl_bench.nn.cpu.group_norm import GroupNorm


class PaperDownstream(Downstream):
    """A backbone and the head of the paper (GVSL section 4.1, supplement E.3).

    Where voxels have labels: one 3x3x3 convolution on the local features. Where volumes have: the encoder alone, global
    average pooling, one linear layer.
    """

    def make_head(self, classes: int) -> nn.Module:
        """The layers that map `features` to logits."""
        if of_voxels(self.kind):
            return nn.Conv3d(self.backbone.local_channels, self.outputs, 3, padding=1)
        linear = nn.Linear(self.backbone.global_channels, self.outputs)
        return InFloat32(linear) if self.kind == "multi-class" else InFloat32(linear, nn.Flatten(0))

    def features(self, volumes: Tensor) -> tuple[Tensor, ...]:
        """(B, C, D, H, W) -> local features, or pooled global ones (B, channels)."""
        if of_voxels(self.kind):
            return (self.backbone(volumes).local,)
        return (self.backbone.pool(volumes),)


class InFloat32(nn.Sequential):
    """Layers on pooled features, in float32 whatever the autocast: bf16 would round away what tells volumes apart."""

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, channels) -> whatever the last layer gives."""
        with torch.autocast(pooled.device.type, enabled=False):
            out: Tensor = nn.Sequential.forward(self, pooled.float())  # type: ignore[no-untyped-call]
        return out


class RestorationHead(nn.Sequential):
    """Local features -> the restored volume: 3x3x3 convolution, GroupNorm, LeakyReLU, 1x1x1 convolution.

    After the released GVSL network: half the width, four channels a group, no output activation.
    """

    def __init__(self, channels: int, restored: int = 1) -> None:
        """From `channels` of local features to `restored` channels of the volume."""
        hidden = channels // 2
        super().__init__(
            nn.Conv3d(channels, hidden, 3, padding=1),
            GroupNorm(max(1, hidden // 4), hidden),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv3d(hidden, restored, 1),
        )
