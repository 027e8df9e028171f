"""Octants: which eighth of a window is it? In 3D, and with one patch, what Doersch et al. (ICCV 2015) began."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.nn.heads import InFloat32


class Octant(Method):
    """Encoder, global average pooling, one linear layer; cross-entropy over the eight places."""

    facts = MethodFacts(
        title="Octant",
        paper="after Doersch et al., Unsupervised Visual Representation Learning by Context Prediction, ICCV 2015",
        year=2015,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder",
    )

    def __init__(self, backbone: Backbone, config: MethodConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.classifier = InFloat32(nn.Linear(backbone.global_channels, 8))

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Cut one octant of each of `volumes` (B, C, D, H, W) and predict which it is."""
        places = draws.integers(0, 8)
        d, h, w = (length // 2 for length in volumes.shape[2:])
        octants = torch.zeros_like(volumes[:, :, :d, :h, :w])
        for number in range(8):
            z, y, x = number // 4, number // 2 % 2, number % 2
            octant = volumes[:, :, z * d : z * d + d, y * h : y * h + h, x * w : x * w + w]
            octants = torch.where((places == number).view(-1, 1, 1, 1, 1), octant, octants)
        return {"loss": F.cross_entropy(self.classifier(self.backbone.pool(octants)), places)}
