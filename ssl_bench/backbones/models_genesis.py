"""The network of Models Genesis (Zhou et al., MedIA 2021), whose released chest-CT weights have 64 channels.

Written from the description of its layers; names are those of the released file, whatever the width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone, BackboneFacts
from ssl_bench.nn.cpu.convolution import Convolution


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
    """The pretext's last layer, held so that the file loads whole: no feature passes through it, nothing trains it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.final_conv = nn.Conv3d(channels, 1, 1).requires_grad_(False)


class ModelsGenesis(Backbone):
    """3 poolings, 19,073,665 parameters at width 64; CT volumes are brought to the scale that the network saw."""

    facts = BackboneFacts(
        title="3D U-Net of Models Genesis", source="Zhou et al., Models Genesis, Medical Image Analysis 2021"
    )
    stride = 8
    encoder_modules = ("down_tr64", "down_tr128", "down_tr256", "down_tr512")
    decoder_modules = ("up_tr256", "up_tr128", "up_tr64")

    def __init__(self, width: int = 64, channels_in: int = 1) -> None:
        """`width`: channels at full resolution; 64 and one channel of the volumes are the released network."""
        super().__init__(width, channels_in)
        self.down_tr64 = DownTransition(channels_in, width)
        self.down_tr128 = DownTransition(width, 2 * width)
        self.down_tr256 = DownTransition(2 * width, 4 * width)
        self.down_tr512 = DownTransition(4 * width, 8 * width)
        self.up_tr256 = UpTransition(8 * width, 4 * width)
        self.up_tr128 = UpTransition(4 * width, 2 * width)
        self.up_tr64 = UpTransition(2 * width, width)
        self.out_tr = OutTransition(width)

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """`width`, doubled from stage to stage."""
        return tuple(2**level * self.width for level, _ in enumerate(self.encoder_modules))

    def stages(self, volumes: Tensor) -> list[Tensor]:
        """(B, C, D, H, W) -> four stages, (B, width, D, H, W) to (B, 8 * width, D/8, ...) of the padded size."""
        if self.modality == "CT":
            volumes = to_genesis_scale(volumes)
        stages = [self.run(self.down_tr64, self.pad(volumes))]
        for down in (self.down_tr128, self.down_tr256, self.down_tr512):
            stages.append(self.run(down, F.max_pool3d(stages[-1], 2)))
        return stages

    def decode(self, stages: Sequence[Tensor]) -> Tensor:
        """Four stages, finest first -> local features (B, width, D, H, W) of the padded size."""
        *skips, local = stages
        for up in (self.up_tr256, self.up_tr128, self.up_tr64):
            local = self.run(up, local, skips.pop())
        return local


def to_genesis_scale(volumes: Tensor) -> Tensor:
    """CT in [0, 1] for -1024..1024 HU -> clip(HU, -1000, 1000) in [0, 1], what Models Genesis was trained on."""
    units = 2048 * volumes - 1024
    return (units.clamp(-1000, 1000) + 1000) / 2000
