"""SimSiam (Chen and He, CVPR 2021): one view predicts the other, without negatives and without a momentum encoder."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice
from ssl_bench.nn.distributed import gathered
from ssl_bench.nn.heads import InFloat32
from ssl_bench.transforms.views import region_of_views, two_views, view_size


class SimSiamConfig(MethodConfig):
    """Sizes of lightly's small-scale example; the bottleneck of the predictor is what prevents collapse."""

    hidden: int = Field(default=512, gt=0)
    output: int = Field(default=128, gt=0)
    bottleneck: Annotated[int, Choice((32, 64, 128))] = Field(default=64, gt=0)


class SimSiam(Method):
    """Encoder, global average pooling, projector, predictor; symmetrised negative cosine with a stopped gradient."""

    Config = SimSiamConfig
    facts = MethodFacts(
        title="SimSiam",
        paper="Chen and He, Exploring Simple Siamese Representation Learning, CVPR 2021",
        year=2021,
        version=2,
        paradigm="centroid-relative",
        pretrains="encoder",
        smallest_batch=8,
        trains_on=("noise", "gamma", "thickness", "rotation"),
    )

    def __init__(self, backbone: Backbone, config: SimSiamConfig, crop: int) -> None:
        # Planning reads facts and options of a method alone, and this library takes seconds to import.
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead

        super().__init__(backbone, config, crop)
        self.region = region_of_views(crop, backbone.stride)
        self.projection = InFloat32(SimSiamProjectionHead(backbone.global_channels, config.hidden, config.output))
        self.prediction = InFloat32(SimSiamPredictionHead(config.output, config.bottleneck, config.output))
        self.criterion = NegativeCosineSimilarity()

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Predict each of two views of `volumes` (B, C, D, H, W) from the other."""
        first, second = two_views(volumes, draws, view_size(self.crop, self.backbone.stride))
        z_first, z_second = self.project(first), self.project(second)
        p_first, p_second = self.prediction(z_first), self.prediction(z_second)
        # Stopping the gradient at the target is the method: without it the two branches collapse.
        loss = self.criterion(p_first, z_second.detach()) + self.criterion(p_second, z_first.detach())
        return {"loss": loss / 2}

    def project(self, views: Tensor) -> Tensor:
        """Views (b, 1, d, h, w) -> projections (B, output) of the whole batch, also where ranks share it."""
        projected: Tensor = self.projection(gathered(self.backbone.pool(views)))
        return projected
