"""Rotation prediction (Gidaris et al., ICLR 2018): tell by how much a volume was turned.

In 3D the classes are those of Taleb et al. (NeurIPS 2020): as it was, or 90, 180 or 270 degrees about one axis.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.nn.heads import InFloat32

ABOUT_Z, ABOUT_X, ABOUT_Y = (3, 4), (2, 3), (2, 4)
"""The plane of (B, C, D, H, W) = (B, C, z, y, x) that a rotation about the axis turns."""
ROTATIONS = ((0, ABOUT_Z), *((turns, plane) for plane in (ABOUT_Z, ABOUT_X, ABOUT_Y) for turns in (1, 2, 3)))
"""Quarter turns and plane of each class; class 0 is the identity."""


class Rotation(Method):
    """Encoder, global average pooling, one linear layer; cross-entropy over ten rotations."""

    facts = MethodFacts(
        title="Rotation",
        paper="Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018",
        year=2018,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder",
        trains_on=("rotation",),
    )

    def __init__(self, backbone: Backbone, config: MethodConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.classifier = InFloat32(nn.Linear(backbone.global_channels, len(ROTATIONS)))

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Turn each of `volumes` (B, C, D, D, D) by a class drawn uniformly, and predict the class."""
        classes = draws.integers(0, len(ROTATIONS))
        logits = self.classifier(self.backbone.pool(rotate(volumes, classes)))
        loss = F.cross_entropy(logits, classes)
        return {"loss": loss, "accuracy": (logits.detach().argmax(dim=1) == classes).float().mean()}


def rotate(volumes: Tensor, classes: Tensor) -> Tensor:
    """Turn each of `volumes` (B, C, D, D, D) by its class in `ROTATIONS` (B,). Raises ValueError unless cubic."""
    size = volumes.shape[2:]
    if len(set(size)) > 1:
        raise ValueError(f"rotations by 90 degrees need cubic windows, not {tuple(size)} voxels")
    rotated = volumes
    for index, (turns, plane) in enumerate(ROTATIONS):
        chosen = (classes == index).view(-1, 1, 1, 1, 1)
        rotated = torch.where(chosen, torch.rot90(volumes, turns, plane), rotated)
    return rotated
