"""Volume fusion (Wang et al., 2023): mix boxes of one volume into another, segment how strongly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws


class VolumeFusionConfig(MethodConfig):
    """Mixing levels equally spaced on [0, 1], and boxes that carry one each."""

    levels: int = Field(default=5, gt=1)
    boxes: int = Field(default=24, gt=0)


class VolumeFusion(Method):
    """Cross-entropy over the mixing levels of every voxel."""

    Config = VolumeFusionConfig
    facts = MethodFacts(
        title="Volume fusion",
        paper="Wang et al., Volume Fusion-based Self-Supervised Pretraining for 3D Medical Image Segmentation, 2023",
        year=2023,
        version=1,
        paradigm="centroid-hidden",
        pretrains="encoder and decoder",
        smallest_batch=2,
    )

    def __init__(self, backbone: Backbone, config: VolumeFusionConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.head = nn.Conv3d(backbone.local_channels, config.levels, 3, padding=1)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Mix each of `volumes` (B, C, D, H, W) with its neighbour in the batch and predict the level."""
        levels = self.level_map(volumes.shape[2:], draws)
        share = (levels / (self.options.levels - 1)).unsqueeze(1)
        fused = (1 - share) * volumes + share * volumes.roll(1, dims=0)
        return {"loss": F.cross_entropy(self.head(self.backbone(fused).local).float(), levels)}

    def level_map(self, size: torch.Size, draws: Draws) -> Tensor:
        """Class indices (B, D, H, W): 0 outside the boxes; later boxes cover earlier ones."""
        levels = torch.zeros(len(draws), *size, dtype=torch.int64, device=draws.device)
        for _ in range(self.options.boxes):
            inside = torch.ones_like(levels, dtype=torch.bool)
            for axis, length in enumerate(size):
                side = draws.uniform(1, low=0.06, high=0.63) * length
                start = draws.uniform(1) * (length - side)
                place = torch.arange(length, device=draws.device)
                on_axis = (place >= start) & (place < start + side)
                inside &= on_axis.view(-1, *[length if other == axis else 1 for other in range(3)])
            levels = torch.where(inside, draws.integers(1, self.options.levels, 1, 1, 1), levels)
        return levels
