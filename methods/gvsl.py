"""GVSL: Geometric Visual Similarity Learning (He et al., CVPR 2023).

Two different images of one anatomy are matched by an affine and a deformable map that the backbone's global and local
features predict (Z-matching), while the backbone restores a corrupted version of one of them (the fundament).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone, Features
from ssl_bench.api.method import Method, MethodConfig, MethodFacts, scale_voxels
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import LogUniform
from ssl_bench.nn.blocks import CHANNELS_PER_GROUP, DoubleConv
from ssl_bench.nn.heads import InFloat32, RestorationHead
from ssl_bench.nn.losses import ncc_loss, smoothness_loss
from ssl_bench.nn.transfer import constant
from ssl_bench.nn.warp import AffineForm, CompositionOrder, affine_displacement, affine_matrix, compose, warp
from ssl_bench.transforms.corruption import GVSL as CORRUPTION
from ssl_bench.transforms.corruption import corrupt
from ssl_bench.transforms.spatial import random_spatial

LARGEST_ROTATION = torch.pi / 9
LARGEST_SCALE_CHANGE = 0.25
LARGEST_SHEAR = torch.pi / 18


class AugmentationConfig(MethodConfig):
    """Where paper and released code differ on what comes before the network."""

    spatial_augmentation: bool = True
    """The same random affine and elastic warp for all images: in the released code, not in the paper."""
    order: Literal["corrupt_first", "warp_first"] = "corrupt_first"
    """Whether that warp also moves what corrupted A, as in the released code, or A is corrupted after it."""


class PairConfig(AugmentationConfig):
    """Where paper, supplement and released code differ on the pair and its deformable map."""

    direction: Literal["b_to_a", "a_to_b"] = "b_to_a"
    """Which image moves. A is always the corrupted one: the released code moves B, the paper A."""
    initial_std: float = Field(default=1e-3, gt=0)
    """Standard deviation of the last layers' initial weights, so that matching starts near the identity; PyTorch's
    default, which the released code keeps, is about 0.03."""
    smoothness_weight: Annotated[float, LogUniform(0.1, 10)] = Field(default=1.0, ge=0)
    """Of the smoothness in the loss; one in the paper (section 3.3) and in the released code."""


class GVSLConfig(PairConfig):
    """Where they differ on the affine map too; defaults follow the released code unless it is defective."""

    composition: CompositionOrder = "affine_of_deformed"
    """The released order A(p + u(p)), here in one resampling; `eq9` samples u at the affine-moved place."""
    affine: AffineForm = "released"
    """Shear . scale . rotation with the translation outside; `eq8` and `figure` are the supplement's two others."""
    translation_unit: Literal["half_extent", "half_voxel"] = "half_extent"
    """The unit of the affine head's raw translation. Half extents give it steps as large as the other parameters'; the
    released code amounts to half voxels, in which one learning rate hardly moves it."""
    bound: Literal["tanh", "clamp"] = "tanh"
    """How rotation, scale and shear stay in their ranges; the released clamp has no gradient outside."""
    detached_affine: bool = False
    """Cut the gradient of the affine matrix, as a defect of the released code does: its head then never learns."""
    smoothness_of: Literal["deformation", "whole"] = "deformation"
    """The released code smooths the deformable map alone, the paper's Eq. 2 the whole one."""


class Matching(NamedTuple):
    """What Z-matching predicts for the moving image; all in voxels, axes in the order D, H, W."""

    deformation: Tensor
    """(B, 3, D, H, W), on the fixed image's grid."""
    whole: Tensor
    """(B, 3, D, H, W), affine and deformation in one displacement field."""
    warped: Tensor
    """(B, C, D, H, W), the moving image under `whole`."""


class AffineHead(nn.Module):
    """Global features of both images -> a matrix (B, 3, 4): rotation, scale, shear and translation."""

    def __init__(self, channels: int, config: GVSLConfig) -> None:
        super().__init__()
        hidden = channels // 2
        self.config = config
        self.f_conv = DoubleConv(2 * channels, hidden)
        self.fc_rot, self.fc_scl, self.fc_trans = (InFloat32(nn.Linear(hidden, 3)) for _ in range(3))
        self.fc_shear = InFloat32(nn.Linear(hidden, 6))
        for layer in (self.fc_rot, self.fc_scl, self.fc_trans, self.fc_shear):
            start_near_zero(layer[0], config.initial_std)

    def forward(self, moving: Tensor, fixed: Tensor, size: torch.Size) -> Tensor:
        """Global features (B, channels, d, h, w) of moving and fixed images of `size` (D, H, W) -> (B, 3, 4)."""
        pooled = self.f_conv(torch.cat([moving, fixed], dim=1)).float().mean(dim=(2, 3, 4))
        rotation, scale, translation, shear = (
            layer(pooled) for layer in (self.fc_rot, self.fc_scl, self.fc_trans, self.fc_shear)
        )
        if self.config.translation_unit == "half_extent":
            translation = translation * constant(size[::-1], translation)
        bound = torch.tanh if self.config.bound == "tanh" else _clamp
        matrix = affine_matrix(
            rotation=LARGEST_ROTATION * bound(rotation),
            scale=1 + LARGEST_SCALE_CHANGE * bound(scale),
            translation=translation / 2,
            shear=LARGEST_SHEAR * bound(shear),
            form=self.config.affine,
        )
        return matrix.detach() if self.config.detached_affine else matrix


class DeformableHead(nn.Sequential):
    """Local features of both images -> a displacement (B, 3, D, H, W) in voxels."""

    def __init__(self, channels: int, initial_std: float) -> None:
        hidden = max(CHANNELS_PER_GROUP, channels // 2)
        flow = nn.Conv3d(hidden, 3, 3, padding=1)
        start_near_zero(flow, initial_std)
        super().__init__(DoubleConv(2 * channels, hidden), flow)


class GVSL(Method):
    """Restoration + Z-matching: mean squared error + normalised cross-correlation + weighted smoothness."""

    Config: ClassVar[type[PairConfig]] = GVSLConfig
    matching_modules: ClassVar[tuple[str, ...]] = ("affine_head", "deformable_head")
    facts = MethodFacts(
        title="GVSL",
        paper="He et al., Geometric Visual Similarity Learning in 3D Medical Image Self-supervised Pre-training, "
        "CVPR 2023",
        year=2023,
        version=2,
        paradigm="geometric",
        pretrains="encoder and decoder",
        smallest_batch=2,
        grouped=2,
        trains_on=("gamma", "rotation"),
    )

    def __init__(self, backbone: Backbone, config: GVSLConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.affine_head = AffineHead(backbone.global_channels, config).requires_grad_(not config.detached_affine)
        self.deformable_head = DeformableHead(backbone.local_channels, config.initial_std)
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)
        # Smaller windows of coarse volumes hold too few voxels to tell anatomy from noise, and see too short a way.
        self.window = odd(scale_voxels(9, crop, smallest=9))

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Volumes (B, C, D, H, W) are paired: A, B, A, B, ...; an odd last one is paired with the first."""
        a, b, draws = pair_up(volumes, draws)
        corrupted, a, b = corrupted_and_warped((a, b), draws, self.options)
        return self.losses(corrupted, a, b)

    def held_out_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Fixed pairs without spatial augmentation, and what matching by the identity would score on them."""
        a, b, draws = pair_up(volumes, draws)
        return {**self.losses(corrupt(a, draws, CORRUPTION), a, b), "ncc of the identity": ncc_loss(a, b, self.window)}

    def example(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """The pair without augmentation or corruption, the moving image on the fixed one, and how it got there."""
        a, b, _ = pair_up(volumes, draws)
        features = self.backbone(torch.cat([a, b]))
        of_a, of_b = (Features(*pair) for pair in zip(*(part.chunk(2) for part in features), strict=True))
        if self.options.direction == "b_to_a":
            matching, title = self.match(b, of_b, of_a), "B warped onto A"
        else:
            matching, title = self.match(a, of_a, of_b), "A warped onto B"
        return {"A": a, "B": b, title: matching.warped, "displacement": matching.whole}

    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Z-matching of the two as they are, affine and deformation in one field."""
        return self.match(moving, self.backbone(moving), self.backbone(fixed)).whole

    def losses(self, corrupted: Tensor, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Algorithm 1 of the supplement: encode the corrupted A and B in one call, restore A, match the pair."""
        of_a, of_b = self.encode(corrupted, b)
        restoration = F.mse_loss(self.restoration(of_a.local).float(), a)
        ncc, smoothness = self.matching_losses(a, b, of_a, of_b)
        return {
            "loss": ncc + self.options.smoothness_weight * smoothness + restoration,
            "ncc": ncc.detach(),
            "smoothness": smoothness.detach(),
            "restoration": restoration.detach(),
        }

    def encode(self, corrupted: Tensor, b: Tensor) -> tuple[Features, Features]:
        """Features of the corrupted A and of the clean B."""
        features = self.backbone(torch.cat([corrupted, b]))
        (global_a, global_b), (local_a, local_b) = features.global_.chunk(2), features.local.chunk(2)
        return Features(global_a, local_a), Features(global_b, local_b)

    def matching_losses(self, a: Tensor, b: Tensor, of_a: Features, of_b: Features) -> tuple[Tensor, Tensor]:
        """Normalised cross-correlation of the matched pair, and smoothness."""
        if self.options.direction == "b_to_a":
            matching, fixed = self.match(b, of_b, of_a), a
        else:
            matching, fixed = self.match(a, of_a, of_b), b
        smoothed = getattr(matching, self.options.smoothness_of)
        return ncc_loss(matching.warped, fixed, self.window), smoothness_loss(smoothed)

    def match(self, moving: Tensor, moving_features: Features, fixed_features: Features) -> Matching:
        """Z-matching: map the clean `moving` image (B, C, D, H, W) onto the fixed one, resampling it once."""
        matrix = self.affine_head(moving_features.global_, fixed_features.global_, moving.shape[2:])
        aligned = warp(moving_features.local, affine_displacement(matrix, moving.shape[2:]))
        fixed = fixed_features.local
        aligned = aligned.to(fixed.dtype, memory_format=torch.channels_last_3d)
        deformation = self.deformable_head(torch.cat([aligned, fixed], dim=1)).float()
        whole = compose(matrix, deformation, self.options.composition)
        return Matching(deformation, whole, warp(moving, whole))


def pair_up(volumes: Tensor, draws: Draws) -> tuple[Tensor, Tensor, Draws]:
    """Volumes (B, C, D, H, W), all different -> A and B (ceil(B/2), C, D, H, W) and one random stream per pair."""
    b = torch.cat([volumes[1::2], volumes[:1]]) if len(volumes) % 2 else volumes[1::2]
    return volumes[0::2], b, draws[0::2]


def corrupted_and_warped(images: Sequence[Tensor], draws: Draws, options: AugmentationConfig) -> tuple[Tensor, ...]:
    """The first of `images` (B, C, D, H, W) corrupted, then all of them as they are; all moved by one spatial warp."""
    if options.spatial_augmentation and options.order == "warp_first":
        images = random_spatial(images, draws)
    images = (corrupt(images[0], draws, CORRUPTION), *images)
    if options.spatial_augmentation and options.order == "corrupt_first":
        images = random_spatial(images, draws)
    return images


def start_near_zero(layer: nn.Module, std: float) -> None:
    """Small weights and no bias: not exactly zero, so that gradients pass to the layers before."""
    assert isinstance(layer, nn.Linear | nn.Conv3d)
    nn.init.normal_(layer.weight, std=std)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


def odd(voxels: float) -> int:
    """An odd window of about so many voxels: 9 stays 9, 8 becomes 9."""
    return 2 * int(voxels // 2) + 1


def _clamp(raw: Tensor) -> Tensor:
    return raw.clamp(-1, 1)
