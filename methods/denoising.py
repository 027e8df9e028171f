"""Denoising autoencoder (Vincent et al., JMLR 2010): restore a volume from its noisy version.

Of the paper's corruptions it is the additive Gaussian one.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import LogUniform
from ssl_bench.nn.heads import RestorationHead


class DenoisingConfig(MethodConfig):
    """The strength that GVSL's comparison does not give."""

    sigma: Annotated[float, LogUniform(0.02, 0.5)] = Field(default=0.1, gt=0)
    """Deviation of the noise on intensities in [0, 1]."""


class Denoising(Method):
    """Independent Gaussian noise in every voxel; mean squared error to the clean volume."""

    Config = DenoisingConfig
    facts = MethodFacts(
        title="Denoising",
        paper="Vincent et al., Stacked Denoising Autoencoders: Learning Useful Representations in a Deep Network with "
        "a Local Denoising Criterion, JMLR 2010",
        year=2010,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder and decoder",
        trains_on=("noise",),
    )

    def __init__(self, backbone: Backbone, config: DenoisingConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.sigma = config.sigma
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Restore `volumes` (B, C, D, H, W) from the noise."""
        restored = self.restoration(self.backbone(self.noisy(volumes, draws)).local)
        return {"loss": F.mse_loss(restored.float(), volumes)}

    def noisy(self, volumes: Tensor, draws: Draws) -> Tensor:
        """`volumes` with noise, not clamped: clamping would make the noise of dark voxels one-sided."""
        return volumes + self.sigma * draws.normal(*volumes.shape[1:])
