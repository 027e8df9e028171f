"""Deliberately broken: its weights come from a generator that nobody seeds."""

import torch
import torch.nn.functional as F

from ssl_bench.api.method import Method, MethodFacts
from ssl_bench.nn.heads import RestorationHead


class UnseededWeights(Method):
    facts = MethodFacts("Unseeded weights", "nobody", 2023, 1, "centroid-hidden", "encoder and decoder")

    def __init__(self, backbone, config, crop):
        super().__init__(backbone, config, crop)
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)
        unseeded = torch.Generator()
        unseeded.seed()
        with torch.no_grad():
            for parameter in self.restoration.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=unseeded))

    def training_step(self, volumes, draws):
        noise = 0.1 * draws.normal(*volumes.shape[1:])
        restored = self.restoration(self.backbone(volumes + noise).local)
        return {"loss": F.mse_loss(restored.float(), volumes)}
