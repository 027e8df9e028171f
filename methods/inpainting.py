"""In-painting (context encoder, Pathak et al., CVPR 2016): restore erased boxes of a volume.

The boxes are those of GVSL's corruption. As usual in 3D there is no adversarial loss.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.nn.heads import RestorationHead
from ssl_bench.transforms.painting import GVSL_IN_PAINTING, fill_with_noise, in_painting_mask


class InPaintingConfig(MethodConfig):
    """What GVSL's comparison does not give."""

    fill: Literal["noise", "zero"] = "noise"
    """What erased voxels hold: uniform noise in [0, 1) as in GVSL's corruption, or nothing."""


class InPainting(Method):
    """Up to thirty boxes erased; mean squared error to the whole clean volume."""

    Config = InPaintingConfig
    facts = MethodFacts(
        title="In-painting",
        paper="Pathak et al., Context Encoders: Feature Learning by Inpainting, CVPR 2016",
        year=2016,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder and decoder",
    )

    def __init__(self, backbone: Backbone, config: InPaintingConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.fill = config.fill
        self.restoration = RestorationHead(backbone.local_channels)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Restore `volumes` (B, 1, D, H, W) from what is left of them."""
        restored = self.restoration(self.backbone(self.erased(volumes, draws)).local)
        return {"loss": F.mse_loss(restored.float(), volumes)}

    def erased(self, volumes: Tensor, draws: Draws) -> Tensor:
        """`volumes` without the inside of a few random boxes."""
        mask = in_painting_mask(volumes.shape[2:], draws, GVSL_IN_PAINTING)
        return fill_with_noise(volumes, mask, draws) if self.fill == "noise" else volumes.masked_fill(mask, 0)
