"""GVSL without the affine head (He et al., CVPR 2023, Table 1): restoration and deformable matching."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ssl_bench.api.backbone import Backbone, Features
from ssl_bench.nn.warp import warp

from .gvsl import GVSL, GVSLConfig, Matching, PairConfig


class GVSLNoAffine(GVSL):
    """The deformable map is the whole map, predicted from features that were not aligned before."""

    Config = PairConfig
    matching_modules = ("deformable_head",)
    facts = dataclasses.replace(GVSL.facts, title="GVSL without affine head", version=2)

    def __init__(self, backbone: Backbone, config: PairConfig, crop: int) -> None:
        super().__init__(backbone, GVSLConfig.model_validate(config.model_dump()), crop)
        del self.affine_head

    def match(self, moving: Tensor, moving_features: Features, fixed_features: Features) -> Matching:
        """Map the clean `moving` image (B, C, D, H, W) onto the fixed one by the deformable map alone."""
        both = torch.cat([moving_features.local, fixed_features.local], dim=1)
        deformation = self.deformable_head(both).float()
        return Matching(deformation, deformation, warp(moving, deformation))
