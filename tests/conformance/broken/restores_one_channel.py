"""Deliberately broken: its head restores one channel whatever the volumes have, which is spread over all of them."""

import torch.nn.functional as F

from ssl_bench.api.method import Method, MethodFacts
from ssl_bench.nn.heads import RestorationHead


class RestoresOneChannel(Method):
    facts = MethodFacts("Restores one channel", "nobody", 2023, 1, "centroid-hidden", "encoder and decoder")

    def __init__(self, backbone, config, crop):
        super().__init__(backbone, config, crop)
        self.restoration = RestorationHead(backbone.local_channels)

    def training_step(self, volumes, draws):
        noisy = volumes + 0.1 * draws.normal(*volumes.shape[1:])
        return {"loss": F.mse_loss(self.restoration(self.backbone(noisy).local).float(), volumes)}
