"""The pretext of Swin UNETR (Tang et al., CVPR 2022): rotation, contrast and in-painting together.

Two views of a volume are turned and cut out. The encoder tells how each was turned and which two belong together, and
the decoder restores what each was before the cut. Here it is the shared backbone that learns so, no transformer.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts, scale_voxels
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice, LogUniform
from ssl_bench.methods.rotation import rotate
from ssl_bench.nn.distributed import gathered
from ssl_bench.nn.heads import InFloat32, RestorationHead
from ssl_bench.nn.queue import nt_xent
from ssl_bench.transforms.painting import block_mask, fill_with_noise

QUARTER_TURNS = 4
"""Classes of rotation: by 0, 90, 180 or 270 degrees about the z axis."""


class SwinPretextConfig(MethodConfig):
    """The paper's cut-out and weights, all three one (section 3.2); the temperature is that of nnssl."""

    cut_out: Annotated[float, Choice((0.15, 0.3, 0.6))] = Field(default=0.3, gt=0, lt=1)
    """Smallest share of the voxels that is cut out."""
    block: float = Field(default=32, gt=0)
    """Side of what is cut out at once in voxels of a crop of 128; scales with the crop."""
    temperature: Annotated[float, LogUniform(0.05, 1.0)] = Field(default=0.5, gt=0)
    embedding: int = Field(default=512, gt=0)
    inpainting_weight: Annotated[float, LogUniform(0.1, 10)] = Field(default=1.0, ge=0)
    contrast_weight: Annotated[float, LogUniform(0.1, 10)] = Field(default=1.0, ge=0)
    rotation_weight: Annotated[float, LogUniform(0.1, 10)] = Field(default=1.0, ge=0)


class Views(NamedTuple):
    """One view of every volume."""

    turned: Tensor
    """(B, C, D, D, D)."""
    cut_out: Tensor
    """The same with noise where it was cut out, which the network sees."""
    classes: Tensor
    """(B,): by how many quarter turns."""


class SwinPretext(Method):
    """Mean absolute error of the restored views + NT-Xent of their embeddings + cross-entropy over four rotations."""

    Config = SwinPretextConfig
    facts = MethodFacts(
        title="Swin UNETR pretext",
        paper="Tang et al., Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image Analysis, CVPR 2022",
        year=2022,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder and decoder",
        smallest_batch=2,
        trains_on=("rotation",),
    )

    def __init__(self, backbone: Backbone, config: SwinPretextConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.side = round(scale_voxels(config.block, crop, smallest=1))
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)
        self.embedding = InFloat32(nn.Linear(backbone.global_channels, config.embedding))
        self.classifier = InFloat32(nn.Linear(backbone.global_channels, QUARTER_TURNS))

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """All three tasks on two views of `volumes` (B, C, D, D, D)."""
        first, second = self.view(volumes, draws), self.view(volumes, draws)
        features = self.backbone(torch.cat([first.cut_out, second.cut_out]))
        pooled = features.global_.float().mean(dim=(2, 3, 4))
        restored = self.restoration(features.local).float()
        inpainting = F.l1_loss(restored, torch.cat([first.turned, second.turned]))
        rotation = F.cross_entropy(self.classifier(pooled), torch.cat([first.classes, second.classes]))
        one, other = (F.normalize(self.embedding(gathered(views)), dim=1) for views in pooled.chunk(2))
        contrast = nt_xent(one, other, self.options.temperature)
        options = self.options
        loss = (
            options.inpainting_weight * inpainting
            + options.contrast_weight * contrast
            + options.rotation_weight * rotation
        )
        parts = {"inpainting": inpainting, "contrast": contrast, "rotation": rotation}
        return {"loss": loss, **{name: part.detach() for name, part in parts.items()}}

    def view(self, volumes: Tensor, draws: Draws) -> Views:
        """`volumes` (B, C, D, D, D) turned by a class drawn for each, and then cut out."""
        classes = draws.integers(0, QUARTER_TURNS)
        turned = rotate(volumes, classes)  # Its first four classes are those about the z axis.
        mask = block_mask(turned.shape[2:], draws, self.side, self.options.cut_out)
        return Views(turned, fill_with_noise(turned, mask, draws), classes)
