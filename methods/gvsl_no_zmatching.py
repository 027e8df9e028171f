"""GVSL without Z-matching (He et al., CVPR 2023, Table 1): the fundament alone, restoration.

Without a pair there is no B: every volume of the batch is corrupted and restored.
"""

from __future__ import annotations

import dataclasses

import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method
from ssl_bench.api.rng import Draws
from ssl_bench.nn.heads import RestorationHead
from ssl_bench.transforms.corruption import GVSL as CORRUPTION
from ssl_bench.transforms.corruption import corrupt

from .gvsl import GVSL, AugmentationConfig, corrupted_and_warped


class GVSLNoZMatching(Method):
    """GVSL's corruption; mean squared error to the clean volume."""

    Config = AugmentationConfig
    facts = dataclasses.replace(
        GVSL.facts, title="GVSL without Z-matching", version=2, paradigm="centroid-hidden", smallest_batch=1, grouped=1
    )

    def __init__(self, backbone: Backbone, config: AugmentationConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Restore `volumes` (B, C, D, H, W) as the spatial augmentation moves them."""
        corrupted, volumes = corrupted_and_warped((volumes,), draws, self.options)
        return self.loss(corrupted, volumes)

    def held_out_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Restore `volumes` as they are."""
        return self.loss(corrupt(volumes, draws, CORRUPTION), volumes)

    def loss(self, corrupted: Tensor, volumes: Tensor) -> dict[str, Tensor]:
        """Mean squared error of what is restored from `corrupted` (B, C, D, H, W)."""
        restored = self.restoration(self.backbone(corrupted).local)
        return {"loss": F.mse_loss(restored.float(), volumes)}
