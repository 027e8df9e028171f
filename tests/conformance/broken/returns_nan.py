"""Deliberately broken: it divides by the deviation of a background that does not vary."""

import torch
import torch.nn.functional as F

from ssl_bench.api.method import Method, MethodFacts
from ssl_bench.nn.heads import RestorationHead


class ReturnsNaN(Method):
    facts = MethodFacts("Returns NaN", "nobody", 2023, 1, "centroid-hidden", "encoder and decoder")

    def __init__(self, backbone, config, crop):
        super().__init__(backbone, config, crop)
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)

    def training_step(self, volumes, draws):
        noisy = volumes + 0.1 * draws.normal(*volumes.shape[1:])
        target = volumes / torch.zeros_like(volumes)
        return {"loss": F.mse_loss(self.restoration(self.backbone(noisy).local).float(), target)}
