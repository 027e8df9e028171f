"""Barlow Twins (Zbontar et al., ICML 2021): features agree between two views and are not redundant over the batch."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice, LogUniform
from ssl_bench.nn.distributed import gathered
from ssl_bench.nn.heads import InFloat32
from ssl_bench.transforms.views import region_of_views, two_views, view_size


class BarlowTwinsConfig(MethodConfig):
    """The paper's weight; a projector as wide as those of the other rows, since the batch is as small as theirs."""

    redundancy_weight: Annotated[float, LogUniform(1e-3, 0.1)] = Field(default=0.005, ge=0)
    """Lambda of Eq. 1, of what is off the diagonal."""
    hidden: int = Field(default=512, gt=0)
    output: Annotated[int, Choice((32, 128, 512))] = Field(default=128, gt=1)


class BarlowTwins(Method):
    """Encoder, global average pooling, projector; the cross-correlation of both views' features becomes the identity.

    It is taken over the volumes of the whole batch, as in the paper, and has at most batch - 1 dimensions.
    """

    Config = BarlowTwinsConfig
    facts = MethodFacts(
        title="Barlow Twins",
        paper="Zbontar et al., Barlow Twins: Self-Supervised Learning via Redundancy Reduction, ICML 2021",
        year=2021,
        version=1,
        paradigm="centroid-relative",
        pretrains="encoder",
        smallest_batch=8,
        trains_on=("noise", "gamma", "thickness", "rotation"),
    )

    def __init__(self, backbone: Backbone, config: BarlowTwinsConfig, crop: int) -> None:
        # Planning reads facts and options of a method alone, and this library takes seconds to import.
        from lightly.loss import BarlowTwinsLoss
        from lightly.models.modules.heads import BarlowTwinsProjectionHead

        super().__init__(backbone, config, crop)
        self.region = region_of_views(crop, backbone.stride)
        self.projection = InFloat32(BarlowTwinsProjectionHead(backbone.global_channels, config.hidden, config.output))
        # What it is given is the whole batch already: it has nothing to gather.
        self.criterion = BarlowTwinsLoss(config.redundancy_weight, gather_distributed=False)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Correlate features of two views of each of `volumes` (B, C, D, H, W) over the batch."""
        first, second = two_views(volumes, draws, view_size(self.crop, self.backbone.stride))
        one, other = self.project(first), self.project(second)
        with torch.autocast(volumes.device.type, enabled=False):
            return {"loss": self.criterion(one, other)}

    def project(self, views: Tensor) -> Tensor:
        """Views (b, C, d, h, w) -> projections (B, output) of the whole batch, also where ranks share it."""
        projected: Tensor = self.projection(gathered(self.backbone.pool(views)))
        return projected
