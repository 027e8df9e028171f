"""GVSL without Z-matching (He et al., CVPR 2023, Table 1): the fundament alone, restoration.

Without a pair there is no B: every volume of the batch is corrupted and restored.
"""

from __future__ import annotations

import dataclasses

import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig
from ssl_bench.api.rng import Draws
from ssl_bench.nn.heads import RestorationHead
from ssl_bench.transforms.corruption import GVSL as CORRUPTION
from ssl_bench.transforms.corruption import corrupt
from ssl_bench.transforms.spatial import random_spatial

from .gvsl import GVSL


class GVSLNoZMatchingConfig(MethodConfig):
    """The one option of GVSL that concerns restoration."""

    spatial_augmentation: bool = True
    """A random affine and elastic warp before the corruption: in the released code, not in the paper."""


class GVSLNoZMatching(Method):
    """GVSL's corruption; mean squared error to the clean volume."""

    Config = GVSLNoZMatchingConfig
    facts = dataclasses.replace(
        GVSL.facts, title="GVSL without Z-matching", version=1, paradigm="centroid-hidden", smallest_batch=1, grouped=1
    )

    def __init__(self, backbone: Backbone, config: GVSLNoZMatchingConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.restoration = RestorationHead(backbone.local_channels)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Restore `volumes` (B, 1, D, H, W) after the spatial augmentation."""
        if self.options.spatial_augmentation:
            (volumes,) = random_spatial((volumes,), draws)
        return self.held_out_step(volumes, draws)

    def held_out_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Restore `volumes` as they are."""
        restored = self.restoration(self.backbone(corrupt(volumes, draws, CORRUPTION)).local)
        return {"loss": F.mse_loss(restored.float(), volumes)}
