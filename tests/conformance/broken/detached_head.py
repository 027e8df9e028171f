"""Deliberately broken: the head sees numbers, so the backbone and half of the head never learn."""

import torch.nn.functional as F
from torch import nn

from ssl_bench.api.method import Method, MethodFacts
from ssl_bench.nn.heads import RestorationHead


class DetachedHead(Method):
    facts = MethodFacts("Detached head", "nobody", 2023, 1, "centroid-hidden", "encoder and decoder")

    def __init__(self, backbone, config, crop):
        super().__init__(backbone, config, crop)
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)
        self.angle = nn.Linear(backbone.global_channels, 1)

    def training_step(self, volumes, draws):
        features = self.backbone(volumes + 0.1 * draws.normal(*volumes.shape[1:]))
        # As the released GVSL code rebuilds its affine matrix: a new leaf, cut from what predicted it.
        angle = volumes.new_tensor(self.angle(features.global_.float().mean(dim=(2, 3, 4))).tolist())
        restored = self.restoration(features.local).float() + angle.view(-1, 1, 1, 1, 1)
        return {"loss": F.mse_loss(restored, volumes)}
