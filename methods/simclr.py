"""SimCLR (Chen et al., ICML 2020): two views of one volume attract, views of different volumes repel."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import LogUniform
from ssl_bench.nn.distributed import gathered
from ssl_bench.nn.heads import InFloat32
from ssl_bench.nn.queue import nt_xent
from ssl_bench.transforms.views import region_of_views, two_views, view_size


class SimCLRConfig(MethodConfig):
    """Temperature of the 3D port in nnssl; heads of lightly's small-scale examples."""

    temperature: Annotated[float, LogUniform(0.05, 1.0)] = Field(default=0.5, gt=0)
    hidden: int = Field(default=512, gt=0)
    output: int = Field(default=128, gt=0)


class SimCLR(Method):
    """Encoder, global average pooling, projection head; NT-Xent loss over the batch."""

    Config = SimCLRConfig
    facts = MethodFacts(
        title="SimCLR",
        paper="Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020",
        year=2020,
        version=3,
        paradigm="centroid-relative",
        pretrains="encoder",
        smallest_batch=8,
        trains_on=("noise", "gamma", "thickness", "rotation"),
    )

    def __init__(self, backbone: Backbone, config: SimCLRConfig, crop: int) -> None:
        # Planning reads facts and options of a method alone, and this library takes seconds to import.
        from lightly.models.modules.heads import SimCLRProjectionHead

        super().__init__(backbone, config, crop)
        self.region = region_of_views(crop, backbone.stride)
        self.projection = InFloat32(SimCLRProjectionHead(backbone.global_channels, config.hidden, config.output))
        self.temperature = config.temperature

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Contrast two views of each of `volumes` (B, C, D, H, W)."""
        first, second = two_views(volumes, draws, view_size(self.crop, self.backbone.stride))
        return {"loss": nt_xent(self.project(first), self.project(second), self.temperature)}

    def project(self, views: Tensor) -> Tensor:
        """Views (b, C, d, h, w) -> projections (B, output) of unit length, of the whole batch where ranks share it."""
        return F.normalize(self.projection(gathered(self.backbone.pool(views))), dim=1)
