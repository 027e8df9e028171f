"""Deliberately broken: its noise comes from torch's global generator."""

import torch
import torch.nn.functional as F

from ssl_bench.api.method import Method, MethodFacts
from ssl_bench.nn.heads import RestorationHead


class IgnoresSeed(Method):
    facts = MethodFacts("Ignores its seed", "nobody", 2023, 1, "centroid-hidden", "encoder and decoder")

    def __init__(self, backbone, config, crop):
        super().__init__(backbone, config, crop)
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)

    def training_step(self, volumes, draws):
        restored = self.restoration(self.backbone(volumes + 0.1 * torch.randn_like(volumes)).local)
        return {"loss": F.mse_loss(restored.float(), volumes)}
