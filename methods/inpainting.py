"""In-painting (context encoder, Pathak et al., CVPR 2016): restore erased blocks of a volume from what is left.

As usual in 3D there is no adversarial loss.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts, scale_voxels
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice
from ssl_bench.nn.heads import RestorationHead
from ssl_bench.transforms.painting import block_mask, fill_with_noise


class InPaintingConfig(MethodConfig):
    """What GVSL's comparison does not give."""

    erased: Annotated[float, Choice((0.25, 0.5, 0.75))] = Field(default=0.25, gt=0, lt=1)
    """Smallest share of the voxels that is erased; the paper's random blocks cover up to a quarter of the image."""
    block: float = Field(default=32, gt=0)
    """Side of a block in voxels of a crop of 128; scales with the crop."""
    fill: Literal["noise", "zero"] = "noise"
    """What erased voxels hold: uniform noise in [0, 1) as in GVSL's corruption, or nothing."""


class InPainting(Method):
    """A quarter erased in blocks; mean squared error on what was erased (the paper's Eq. 1, without L_adv)."""

    Config = InPaintingConfig
    facts = MethodFacts(
        title="In-painting",
        paper="Pathak et al., Context Encoders: Feature Learning by Inpainting, CVPR 2016",
        year=2016,
        version=2,
        paradigm="centroid-hidden",
        pretrains="encoder and decoder",
    )

    def __init__(self, backbone: Backbone, config: InPaintingConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.side = round(scale_voxels(config.block, crop, smallest=1))
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Restore what is erased of `volumes` (B, C, D, H, W) from what is left of them."""
        mask = block_mask(volumes.shape[2:], draws, self.side, self.options.erased).expand_as(volumes)
        seen = fill_with_noise(volumes, mask, draws) if self.options.fill == "noise" else volumes.masked_fill(mask, 0)
        error = (self.restoration(self.backbone(seen).local).float() - volumes).square() * mask
        return {"loss": (error.sum(dim=(1, 2, 3, 4)) / mask.sum(dim=(1, 2, 3, 4))).mean()}
