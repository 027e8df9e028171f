"""The downstream heads of the paper (GVSL section 4.1, supplement E.3), on top of the shared backbone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ssl_bench.backbone import UNet3D


class Downstream(nn.Module):
    """A backbone and a head.

    Segmentation: one 3x3x3 convolution on the local features, logits (B, 1 + classes, D, H, W). Classification: the
    encoder alone, global average pooling, one linear layer, logit (B,).
    """

    def __init__(self, backbone: UNet3D, kind: Literal["segmentation", "classification"], classes: int) -> None:
        """`classes` counts the foreground classes."""
        super().__init__()
        self.backbone = backbone
        self.kind = kind
        self.head: nn.Module
        if kind == "segmentation":
            self.head = nn.Conv3d(backbone.local_channels, 1 + classes, 3, padding=1)
        else:
            self.head = InFloat32(nn.Linear(backbone.global_channels, 1), nn.Flatten(0))

    def features(self, volumes: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> what the head reads: local features, or pooled global ones (B, 16*width)."""
        if self.kind == "segmentation":
            local: Tensor = self.backbone(volumes).local
            return local
        return self.backbone.pool(volumes)

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> logits."""
        logits: Tensor = self.head(self.features(volumes))
        return logits


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

    def __init__(self, channels: int) -> None:
        hidden = channels // 2
        super().__init__(
            nn.Conv3d(channels, hidden, 3, padding=1),
            nn.GroupNorm(max(1, hidden // 4), hidden),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv3d(hidden, 1, 1),
        )
