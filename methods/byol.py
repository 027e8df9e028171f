"""BYOL (Grill et al., NeurIPS 2020): predict one view's projection by a slowly moving copy of the network."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice
from ssl_bench.nn.distributed import gathered
from ssl_bench.nn.heads import InFloat32
from ssl_bench.nn.momentum import encoder_of, follow, rising_momentum, still_copy
from ssl_bench.transforms.views import region_of_views, two_views, view_size


class BYOLConfig(MethodConfig):
    """Sizes of lightly's small-scale example; the momentum is the paper's where there are enough steps for it."""

    hidden: int = Field(default=1024, gt=0)
    output: int = Field(default=256, gt=0)
    momentum: Annotated[float, Choice((0.9, 0.97, 0.99, 0.996))] = Field(default=0.996, ge=0, le=1)
    """The target's largest momentum in the first step; it rises along a cosine to 1 in the last."""
    start_left: float = Field(default=0.01, gt=0, le=1)
    """Largest share of the target's random start that may be left in it at the end; 1 keeps `momentum` as it is."""


class BYOL(Method):
    """Online encoder, projector and predictor chase a target encoder and projector; symmetrised negative cosine.

    The loss is the mean of both directions, -cos; the paper's, the sum of both 2 - 2 cos, is 4 + 4 times it.
    """

    Config = BYOLConfig
    facts = MethodFacts(
        title="BYOL",
        paper="Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, NeurIPS 2020",
        year=2020,
        version=2,
        paradigm="centroid-relative",
        pretrains="encoder",
        smallest_batch=8,
        trains_on=("noise", "gamma", "thickness", "rotation"),
    )

    def __init__(self, backbone: Backbone, config: BYOLConfig, crop: int) -> None:
        # Planning reads facts and options of a method alone, and this library takes seconds to import.
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead

        super().__init__(backbone, config, crop)
        self.region = region_of_views(crop, backbone.stride)
        self.options = config
        self.projection = InFloat32(BYOLProjectionHead(backbone.global_channels, config.hidden, config.output))
        self.prediction = InFloat32(BYOLPredictionHead(config.output, config.hidden, config.output))
        self.target_encoder = encoder_of(backbone)
        self.target_projection = still_copy(self.projection)
        self.criterion = NegativeCosineSimilarity()

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Predict the target's projection of each of two views of `volumes` (B, C, D, H, W) from the other view."""
        first, second = two_views(volumes, draws, view_size(self.crop, self.backbone.stride))
        towards_second = self.criterion(self.predict(first), self.target(second))
        towards_first = self.criterion(self.predict(second), self.target(first))
        return {"loss": (towards_second + towards_first) / 2}

    def predict(self, views: Tensor) -> Tensor:
        """Views (b, 1, d, h, w) -> the online network's predictions (B, output) for the whole batch of all ranks."""
        predicted: Tensor = self.prediction(self.projection(gathered(self.backbone.pool(views))))
        return predicted

    @torch.no_grad()
    def target(self, views: Tensor) -> Tensor:
        """Views (b, 1, d, h, w) -> the target network's projections (B, output) for the whole batch of all ranks."""
        projected: Tensor = self.target_projection(gathered(self.target_encoder.pool(views)))
        return projected

    def after_step(self, step: int, steps: int) -> None:
        """The target follows the online network: target = m target + (1 - m) online."""
        momentum = rising_momentum(step, steps, self.options.momentum, self.options.start_left)
        follow(self.target_encoder, self.backbone, momentum)
        follow(self.target_projection, self.projection, momentum)
