"""VICReg (Bardes et al., ICLR 2022): two views agree, while every feature keeps its variance and shares none."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice, LogUniform
from ssl_bench.nn.distributed import gathered
from ssl_bench.nn.heads import InFloat32
from ssl_bench.transforms.views import region_of_views, two_views, view_size


class VICRegConfig(MethodConfig):
    """The paper's weights; an expander as wide as the other rows' heads, since the batch is as small as theirs."""

    invariance_weight: Annotated[float, LogUniform(2.5, 250)] = Field(default=25.0, ge=0)
    variance_weight: float = Field(default=25.0, ge=0)
    covariance_weight: float = Field(default=1.0, ge=0)
    hidden: int = Field(default=512, gt=0)
    output: Annotated[int, Choice((32, 128, 512))] = Field(default=128, gt=1)


class VICReg(Method):
    """Encoder, global average pooling, expander; invariance, variance and covariance (Eq. 6, Algorithm 1).

    Variance and covariance are taken over the volumes of the whole batch, as in the paper.
    """

    Config = VICRegConfig
    facts = MethodFacts(
        title="VICReg",
        paper="Bardes et al., VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning, "
        "ICLR 2022",
        year=2022,
        version=1,
        paradigm="centroid-relative",
        pretrains="encoder",
        smallest_batch=8,
        trains_on=("noise", "gamma", "thickness", "rotation"),
    )

    def __init__(self, backbone: Backbone, config: VICRegConfig, crop: int) -> None:
        # Planning reads facts and options of a method alone, and this library takes seconds to import.
        from lightly.models.modules.heads import VICRegProjectionHead

        super().__init__(backbone, config, crop)
        self.options = config
        self.region = region_of_views(crop, backbone.stride)
        self.expander = InFloat32(VICRegProjectionHead(backbone.global_channels, config.hidden, config.output))

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Compare two views of each of `volumes` (B, C, D, H, W), and the features of the batch among themselves."""
        views = two_views(volumes, draws, view_size(self.crop, self.backbone.stride))
        one, other = (self.expand(view) for view in views)
        with torch.autocast(volumes.device.type, enabled=False):
            invariance = F.mse_loss(one, other)
            variance = variance_loss(one) + variance_loss(other)
            covariance = covariance_loss(one) + covariance_loss(other)
        weights = self.options
        return {
            "loss": weights.invariance_weight * invariance
            + weights.variance_weight * variance
            + weights.covariance_weight * covariance,
            "invariance": invariance.detach(),
            "variance": variance.detach(),
            "covariance": covariance.detach(),
        }

    def expand(self, views: Tensor) -> Tensor:
        """Views (b, C, d, h, w) -> embeddings (B, output) of the whole batch, also where ranks share it."""
        expanded: Tensor = self.expander(gathered(self.backbone.pool(views)))
        return expanded


# lightly's loss halves the variance, as the released code does and Eq. 6 does not, and its covariance waits for a GPU.


def variance_loss(embeddings: Tensor) -> Tensor:
    """How far the deviations of the columns of (B, D) over the batch fall short of one, on average (Eq. 1, 2)."""
    return F.relu(1 - (embeddings.var(dim=0) + 1e-4).sqrt()).mean()


def covariance_loss(embeddings: Tensor) -> Tensor:
    """The squared covariances of different columns of (B, D) over the batch, their sum over D (Eq. 3, 4)."""
    centred = embeddings - embeddings.mean(dim=0)
    covariance = centred.T @ centred / (len(embeddings) - 1)
    return (covariance - torch.diag(covariance.diagonal())).square().sum() / embeddings.shape[1]
