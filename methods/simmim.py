"""SimMIM (Xie et al., CVPR 2022): a learned token stands for hidden patches, one linear layer predicts their voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice
from ssl_bench.transforms.patches import coarsest_patch, hidden_patches, mean_where


class SimMIMConfig(MethodConfig):
    """The paper's."""

    hidden: Annotated[float, Choice((0.4, 0.6, 0.8))] = Field(default=0.6, gt=0, lt=1)
    """Share of the patches that is hidden (section 4.1.1)."""


class SimMIM(Method):
    """Mask token, encoder, one linear layer; mean absolute error on what was hidden."""

    Config = SimMIMConfig
    facts = MethodFacts(
        title="SimMIM",
        paper="Xie et al., SimMIM: a Simple Framework for Masked Image Modeling, CVPR 2022",
        year=2022,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder",
    )

    def __init__(self, backbone: Backbone, config: SimMIMConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.side = coarsest_patch(crop, backbone.stride)
        self.token = nn.Parameter(torch.empty(1, backbone.channels_in, *[self.side] * 3))
        nn.init.trunc_normal_(self.token, std=0.02)
        self.prediction = nn.Conv3d(backbone.global_channels, backbone.channels_in * backbone.stride**3, 1)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Predict what is hidden of `volumes` (B, C, D, H, W), all channels of a patch together."""
        hidden = hidden_patches(volumes.shape[2:], draws, self.side, self.options.hidden)
        # The predicted voxels are the padded volume's; what was padded is not hidden, and so not scored.
        pad = self.backbone.pad
        return {"loss": mean_where(pad(hidden), (self.predict(volumes, hidden) - pad(volumes)).abs())}

    def predict(self, volumes: Tensor, hidden: Tensor) -> Tensor:
        """`volumes` (B, C, D, H, W), tokens where `hidden` (B, 1, D, H, W) -> all voxels, padded; float32."""
        seen = torch.where(hidden, tiled(self.token, volumes.shape[2:]), volumes)
        return unfolded(self.prediction(self.backbone.encode(seen)).float(), self.backbone.stride)


def tiled(patch: Tensor, size: Sequence[int]) -> Tensor:
    """A patch (1, C, side, side, side) in every cell of a volume: (1, C, *size)."""
    for axis, length in enumerate(size, start=2):
        patch = patch.index_select(axis, torch.arange(length, device=patch.device) % patch.shape[axis])
    return patch


def unfolded(coarse: Tensor, stride: int) -> Tensor:
    """(B, C * stride^3, d, h, w) -> (B, C, d * stride, h * stride, w * stride): channels become a block of voxels."""
    batch, _, d, h, w = coarse.shape
    blocks = coarse.view(batch, -1, stride, stride, stride, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return blocks.reshape(batch, -1, d * stride, h * stride, w * stride)
