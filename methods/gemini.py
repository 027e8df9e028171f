"""GEMINI (He et al., T-PAMI 2025, arXiv 2502.05282): GVSL's successor by its authors, dense similarity by deformation.

Deformable homeomorphism learning maps each image of a pair onto the other by a smooth deformation that their local
features predict. How well they match is judged by geometric semantic similarity: of what the images look like, and of
what the features say. A restoration keeps the features meaningful.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts, scale_voxels
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import LogUniform
from ssl_bench.methods.gvsl import DeformableHead, odd, pair_up
from ssl_bench.nn.heads import RestorationHead
from ssl_bench.nn.losses import smoothness_loss, squared_correlation
from ssl_bench.nn.transfer import constant
from ssl_bench.nn.warp import identity_grid, warp
from ssl_bench.transforms.corruption import GVSL as CORRUPTION
from ssl_bench.transforms.corruption import corrupt
from ssl_bench.transforms.spatial import SpatialSettings, random_spatial

AUGMENTATION = SpatialSettings(shear=0.0, translation=0.0, elastic_strength=0.0)
"""The same rotation and scale for both images, as released."""
TO_FEATURES = 0.1
"""How much of the features' similarity trains the features; all of it trains the deformation."""


class GEMINIConfig(MethodConfig):
    """Weights of the released code."""

    smoothness_weight: Annotated[float, LogUniform(0.04, 4)] = Field(default=0.4, ge=0)
    semantic_weight: Annotated[float, LogUniform(0.08, 8)] = Field(default=0.8, ge=0)
    """Of the similarity of features."""
    restoration_weight: Annotated[float, LogUniform(10, 1000)] = Field(default=100.0, ge=0)
    initial_std: float = Field(default=1e-3, gt=0)
    """Standard deviation of the last layer's initial weights, so that matching starts near the identity."""


class Match(NamedTuple):
    """One image of a pair on the other."""

    deformation: Tensor
    """(B, 3, D, H, W) in voxels, on the fixed image's grid."""
    warped: Tensor
    """(B, C, D, H, W), the moving image under it."""
    losses: Tensor
    """(3,): of appearance, of features, of smoothness."""


class GEMINI(Method):
    """Both directions' masked cross-correlation, cosine of features and smoothness, and the restoration of A."""

    Config = GEMINIConfig
    facts = MethodFacts(
        title="GEMINI",
        paper="He et al., Homeomorphism Prior for False Positive and Negative Problem in Medical Image Dense "
        "Contrastive Representation Learning, T-PAMI 2025",
        year=2025,
        version=1,
        paradigm="geometric",
        pretrains="encoder and decoder",
        smallest_batch=2,
        grouped=2,
    )

    def __init__(self, backbone: Backbone, config: GEMINIConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.deformer = DeformableHead(backbone.local_channels, config.initial_std)
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)
        self.window = odd(scale_voxels(9, crop, smallest=9))

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Volumes (B, C, D, H, W) are paired: A, B, A, B, ...; an odd last one is paired with the first."""
        a, b, draws = pair_up(volumes, draws)
        return self.losses(*random_spatial((corrupt(a, draws, CORRUPTION), a, b), draws, AUGMENTATION))

    def held_out_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Fixed pairs without spatial augmentation."""
        a, b, draws = pair_up(volumes, draws)
        return self.losses(corrupt(a, draws, CORRUPTION), a, b)

    def example(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """The pair without augmentation, the moving image on the fixed one, and how it got there."""
        a, b, _ = pair_up(volumes, draws)
        match = self.match(a, b, *self.backbone(torch.cat([a, b])).local.chunk(2))
        return {"A": a[:, :1], "B": b[:, :1], "A warped onto B": match.warped[:, :1], "displacement": match.deformation}

    def losses(self, corrupted: Tensor, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """A and B matched in both directions by the features of the clean images; A restored from the corrupted one."""
        of_corrupted, of_a, of_b = self.backbone(torch.cat([corrupted, a, b])).local.chunk(3)
        parts = self.match(a, b, of_a, of_b).losses + self.match(b, a, of_b, of_a).losses
        appearance, semantic, smoothness = parts.unbind()
        restoration = F.mse_loss(self.restoration(of_corrupted).float(), a)
        loss = (
            appearance
            + self.options.semantic_weight * semantic
            + self.options.smoothness_weight * smoothness
            + self.options.restoration_weight * restoration
        )
        named = {"ncc": appearance, "semantic": semantic, "smoothness": smoothness, "restoration": restoration}
        return {"loss": loss, **{name: part.detach() for name, part in named.items()}}

    def match(self, moving: Tensor, fixed: Tensor, of_moving: Tensor, of_fixed: Tensor) -> Match:
        """Deform the `moving` image (B, C, D, H, W) onto the `fixed` one; their local features are (B, c, D, H, W)."""
        deformation = self.deformer(torch.cat([of_moving, of_fixed], dim=1)).float()
        warped, inside = warp(moving, deformation), stays_inside(deformation)
        appearance = 1 - masked_mean(squared_correlation(warped, fixed, self.window).mean(1, keepdim=True), inside)
        warped_features = warp(damped(of_moving), deformation)
        cosine = F.cosine_similarity(warped_features, damped(of_fixed).float(), dim=1).unsqueeze(1)
        semantic = 1 - masked_mean(cosine, inside)
        return Match(deformation, warped, torch.stack([appearance, semantic, smoothness_loss(deformation)]))


def damped(features: Tensor) -> Tensor:
    """`features`, of whose gradient `TO_FEATURES` comes back.

    The released code sums the similarity with the deformation's gradient stopped, times 0.1, and the similarity with
    the features' gradients stopped: the same gradient from two resamplings, and 1.1 times the value.
    """
    return TO_FEATURES * features + (1 - TO_FEATURES) * features.detach()


def stays_inside(deformation: Tensor) -> Tensor:
    """Which voxels (B, 1, D, H, W) of the fixed image show some of the moving one; no gradient."""
    size = deformation.shape[2:]
    position = (identity_grid(size, deformation.device) + deformation.detach()).round()
    last = constant([length - 1 for length in size], deformation.device).view(1, 3, 1, 1, 1)
    return ((position >= 0) & (position <= last)).all(dim=1, keepdim=True)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `values` (B, 1, D, H, W) over the `mask` of each volume, then over volumes; 0 of an empty mask."""
    return ((values * mask).sum(dim=(1, 2, 3, 4)) / mask.sum(dim=(1, 2, 3, 4)).clamp(min=1)).mean()
