"""Heads on the shared backbone: the paper's downstream heads, restoration, and the linear probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_bench.backbone import Backbone
from ssl_bench.group_norm import GroupNorm

Kind = Literal["segmentation", "classification"]


class Downstream(nn.Module):
    """A backbone and the head of the paper (GVSL section 4.1, supplement E.3).

    Segmentation: one 3x3x3 convolution on the local features, logits (B, 1 + classes, D, H, W). Classification: the
    encoder alone, global average pooling, one linear layer, logit (B,).
    """

    head: nn.Module

    def __init__(self, backbone: Backbone, kind: Kind, classes: int) -> None:
        """`classes` counts the foreground classes."""
        super().__init__()
        self.backbone = backbone
        self.kind = kind
        self.head = self.make_head(classes)

    def make_head(self, classes: int) -> nn.Module:
        """The layers that map `features` to logits."""
        if self.kind == "segmentation":
            return nn.Conv3d(self.backbone.local_channels, 1 + classes, 3, padding=1)
        return InFloat32(nn.Linear(self.backbone.global_channels, 1), nn.Flatten(0))

    def features(self, volumes: Tensor) -> tuple[Tensor, ...]:
        """(B, 1, D, H, W) -> what the head reads: local features, or pooled global ones (B, channels)."""
        if self.kind == "segmentation":
            return (self.backbone(volumes).local,)
        return (self.backbone.pool(volumes),)

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> logits."""
        logits: Tensor = self.head(*self.features(volumes))
        return logits

    def probabilities(self, volumes: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> float32 probabilities: of every class (B, 1 + classes, D, H, W), or the positive (B,)."""
        return self.read(self.features(volumes))

    def read(self, features: Sequence[Tensor]) -> Tensor:
        """What `features` gave -> probabilities."""
        # The softmax would make a copy of its own of logits that lie channels last.
        logits: Tensor = self.head(*features).to(torch.float32, memory_format=torch.contiguous_format)
        return logits.softmax(dim=1) if self.kind == "segmentation" else logits.sigmoid()


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
            GroupNorm(max(1, hidden // 4), hidden),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv3d(hidden, 1, 1),
        )
