"""Deliberately broken: nobody called what it does with held-out volumes."""

import torch.nn.functional as F

from ssl_bench.api.method import Method, MethodFacts
from ssl_bench.nn.heads import RestorationHead


class CannotBeWatched(Method):
    facts = MethodFacts("Cannot be watched", "nobody", 2023, 1, "centroid-hidden", "encoder and decoder")

    matching_modules = ("restoration",)

    def __init__(self, backbone, config, crop):
        super().__init__(backbone, config, crop)
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)

    def training_step(self, volumes, draws):
        noise = 0.1 * draws.normal(*volumes.shape[1:])
        restored = self.restoration(self.backbone(volumes + noise).local)
        return {"loss": F.mse_loss(restored.float(), volumes)}

    def held_out_step(self, volumes, draws):
        return {"loss": self.no_such_loss}

    def displacement(self, fixed, moving):
        return self.backbone(fixed).local

    def example(self, volumes, draws):
        return {"clean": volumes, "displacement": volumes}
