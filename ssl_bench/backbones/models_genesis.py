"""The network of Models Genesis (Zhou et al., MedIA 2021), to evaluate its released chest-CT weights.

Written from the description of its layers; names are those of the released file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.nn.cpu.convolution import Convolution

ENCODER_MODULES = ("down_tr64", "down_tr128", "down_tr256", "down_tr512")
DECODER_MODULES = ("up_tr256", "up_tr128", "up_tr64")


class BatchStatisticsNorm(nn.BatchNorm3d):
    """Batch normalisation by the statistics of the batch at hand, in training and evaluation alike, as the original's.

    The file's running statistics are kept and never read. A batch of one volume is normalised by itself.
    """

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W) -> the same shape."""
        return F.batch_norm(volumes, None, None, self.weight, self.bias, training=True, eps=self.eps)


class ConvUnit(nn.Module):
    """Convolution 3x3x3 with bias, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = Convolution(channels_in, channels_out)
        self.bn1 = BatchStatisticsNorm(channels_out)

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, channels_in, D, H, W) -> (B, channels_out, D, H, W)."""
        return F.relu(self.bn1(self.conv1(volumes)))


class DownTransition(nn.Module):
    """Two convolution units; the second one has twice the channels of the first."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        middle = channels_out // 2
        self.ops = nn.Sequential(ConvUnit(channels_in, middle), ConvUnit(middle, channels_out))

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, channels_in, D, H, W) -> (B, channels_out, D, H, W)."""
        out: Tensor = self.ops(volumes)
        return out


class UpTransition(nn.Module):
    """Transposed convolution by two, concatenation [upsampled, skip], two convolution units."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.up_conv = nn.ConvTranspose3d(channels_in, channels_in, 2, stride=2)
        self.ops = nn.Sequential(
            ConvUnit(channels_in + channels_out, channels_out), ConvUnit(channels_out, channels_out)
        )

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Coarse (B, channels_in, d, h, w) and skip (B, channels_out, 2d, ...) -> (B, channels_out, 2d, 2h, 2w)."""
        out: Tensor = self.ops(torch.cat([self.up_conv(coarse), skip], dim=1))
        return out


class OutTransition(nn.Module):
    """The pretext's last layer: held so that the file loads whole; no feature passes through it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.final_conv = nn.Conv3d(channels, 1, 1)


class ModelsGenesis(Backbone):
    """3 poolings, 19,073,665 parameters; `global_` (B, 512, ceil(D/8), ...) and `local` (B, 64, D, H, W)."""

    stride = 8
    encoder_modules = ENCODER_MODULES
    decoder_modules = DECODER_MODULES
    stage_channels = (64, 128, 256, 512)

    def __init__(self, modality: Literal["CT", "MR"]) -> None:
        """`modality` of the volumes in [0, 1] that will come: the network saw CT in a scale of its own."""
        super().__init__()
        self.modality = modality
        self.down_tr64 = DownTransition(1, 64)
        self.down_tr128 = DownTransition(64, 128)
        self.down_tr256 = DownTransition(128, 256)
        self.down_tr512 = DownTransition(256, 512)
        self.up_tr256 = UpTransition(512, 256)
        self.up_tr128 = UpTransition(256, 128)
        self.up_tr64 = UpTransition(128, 64)
        self.out_tr = OutTransition(64)

    def stages(self, volumes: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> four stages, (B, 64, D, H, W) to (B, 512, D/8, ...) of the padded size."""
        if self.modality == "CT":
            volumes = to_genesis_scale(volumes)
        stages = [self.run(self.down_tr64, self.pad(volumes))]
        for down in (self.down_tr128, self.down_tr256, self.down_tr512):
            stages.append(self.run(down, F.max_pool3d(stages[-1], 2)))
        return stages

    def decode(self, stages: Sequence[Tensor]) -> Tensor:
        """Four stages, finest first -> local features (B, 64, D, H, W) of the padded size."""
        *skips, local = stages
        for up in (self.up_tr256, self.up_tr128, self.up_tr64):
            local = self.run(up, local, skips.pop())
        return local


def to_genesis_scale(volumes: Tensor) -> Tensor:
    """CT in [0, 1] for -1024..1024 HU -> clip(HU, -1000, 1000) in [0, 1], what Models Genesis was trained on."""
    units = 2048 * volumes - 1024
    return (units.clamp(-1000, 1000) + 1000) / 2000
