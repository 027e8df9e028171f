"""Models Genesis (Zhou et al., MICCAI 2019; MedIA 2021): restore a volume from its corrupted version.

As in GVSL's Table 1 it is the pretext task on the shared backbone, under the common training setting.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.nn.heads import RestorationHead
from ssl_bench.transforms.corruption import MODELS_GENESIS, corrupt, random_flip


class ModelsGenesis(Method):
    """Flip, local shuffling, non-linear intensity, in- or out-painting; mean squared error to the clean volume."""

    facts = MethodFacts(
        title="Models Genesis",
        paper="Zhou et al., Models Genesis, Medical Image Analysis 2021",
        year=2019,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder and decoder",
        trains_on=("gamma", "field-of-view"),
    )

    def __init__(self, backbone: Backbone, config: MethodConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Restore `volumes` (B, C, D, H, W) from their corrupted versions."""
        target = random_flip(volumes, draws)
        restored = self.restoration(self.backbone(corrupt(target, draws, MODELS_GENESIS)).local)
        return {"loss": F.mse_loss(restored.float(), target)}
