"""BYOL (Grill et al., NeurIPS 2020): predict one view's projection by a slowly moving copy of the network."""

from __future__ import annotations

import copy
import math
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
        self.target_encoder = encoder_of(backbone).requires_grad_(False)
        self.target_projection = copy.deepcopy(self.projection).requires_grad_(False)
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
        from lightly.models.utils import update_momentum
        from lightly.utils.scheduler import cosine_schedule

        momentum = cosine_schedule(step, steps, first_momentum(steps, self.options), 1.0)
        for name in self.backbone.encoder_modules:
            update_momentum(getattr(self.backbone, name), getattr(self.target_encoder, name), momentum)
        update_momentum(self.projection, self.target_projection, momentum)


def first_momentum(steps: int, options: BYOLConfig) -> float:
    """Where the momentum m_k starts, so that of the target's own start at most `start_left` is left after `steps`.

    The product of all m_k is what is left. It is at most exp(-sum(1 - m_k)), and along the paper's cosine (section 3.3)
    that sum is (1 - m_0) steps / 2. With the paper's 0.996, 370 steps would leave 48 %; from 2,303 steps on it holds.
    """
    return min(options.momentum, max(0.0, 1 - 2 * math.log(1 / options.start_left) / steps))


def encoder_of(backbone: Backbone) -> Backbone:
    """A copy of `backbone` that can only `encode` and `pool`."""
    encoder = copy.deepcopy(backbone)
    for name in backbone.decoder_modules:
        delattr(encoder, name)
    return encoder
