"""Deliberately broken: it wraps the backbone, so that nobody else can read its weights."""

import torch.nn.functional as F
from torch import nn

from ssl_bench.api.method import Method, MethodFacts
from ssl_bench.nn.heads import RestorationHead


class Wrapped(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, volumes):
        return self.network(volumes)


class RenamesKeys(Method):
    facts = MethodFacts("Renames keys", "nobody", 2023, 1, "centroid-hidden", "encoder and decoder")

    def __init__(self, backbone, config, crop):
        super().__init__(Wrapped(backbone), config, crop)
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)

    def training_step(self, volumes, draws):
        restored = self.restoration(self.backbone(volumes + 0.1 * draws.normal(*volumes.shape[1:])).local)
        return {"loss": F.mse_loss(restored.float(), volumes)}
