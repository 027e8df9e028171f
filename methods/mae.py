"""Masked autoencoder (He et al., CVPR 2022) on a convolutional U-Net: restore hidden patches from the visible ones.

A convolution cannot leave patches out as the paper's transformer does. As in the residual U-Net of OpenMind (Wald et
al., ICCV 2025) hidden voxels are set to zero instead, and the loss is theirs alone.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts, scale_voxels
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice
from ssl_bench.nn.heads import RestorationHead
from ssl_bench.transforms.patches import hidden_patches, mean_where, normalised_patches


class MAEConfig(MethodConfig):
    """The paper's share of hidden patches; patches of OpenMind."""

    hidden: Annotated[float, Choice((0.6, 0.75, 0.9))] = Field(default=0.75, gt=0, lt=1)
    """Share of the patches that is hidden: three quarters in the paper (section 4.1) and in OpenMind."""
    patch: float = Field(default=16, gt=0, le=64)
    """Side of a patch in voxels of a crop of 128, at most half of it; scales with the crop."""
    normalised: Annotated[bool, Choice((False, True))] = False
    """Whether the target is each patch with mean 0 and deviation 1, which the paper prefers, or the intensities."""


class MAE(Method):
    """Three quarters of the patches hidden; mean squared error on them."""

    Config = MAEConfig
    facts = MethodFacts(
        title="MAE",
        paper="He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022",
        year=2022,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder and decoder",
    )

    def __init__(self, backbone: Backbone, config: MAEConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.side = round(scale_voxels(config.patch, crop, smallest=1))
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Restore what is hidden of `volumes` (B, C, D, H, W), all channels of a patch together."""
        hidden = hidden_patches(volumes.shape[2:], draws, self.side, self.options.hidden)
        target = normalised_patches(volumes, self.side) if self.options.normalised else volumes
        return {"loss": mean_where(hidden, (self.restore(volumes, hidden) - target).square())}

    def restore(self, volumes: Tensor, hidden: Tensor) -> Tensor:
        """What the network makes of `volumes` (B, C, D, H, W) without what is `hidden` (B, 1, D, H, W); float32."""
        restored: Tensor = self.restoration(self.backbone(volumes.masked_fill(hidden, 0)).local)
        return restored.float()
