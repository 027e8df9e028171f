"""The shared backbone: the 3D U-Net of GVSL (CVPR 2023, supplement Fig. 4a; details after the released network).

Parameter names follow the released network, so that its weights can be read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOLINGS = 4
STRIDE = 2**POOLINGS
LEAKY_SLOPE = 0.2
CHANNELS_PER_GROUP = 8


class Features(NamedTuple):
    """What a backbone gives: `global_` (B, 16*width, ceil(D/16), ...) and `local` (B, width, D, H, W)."""

    global_: Tensor
    local: Tensor


class DoubleConv(nn.Module):
    """Twice: convolution 3x3x3 with bias, GroupNorm of eight channels a group, LeakyReLU 0.2."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        groups = channels_out // CHANNELS_PER_GROUP
        self.double_conv = nn.Sequential(
            nn.Conv3d(channels_in, channels_out, 3, padding=1),
            nn.GroupNorm(groups, channels_out),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            nn.Conv3d(channels_out, channels_out, 3, padding=1),
            nn.GroupNorm(groups, channels_out),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
        )

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, channels_in, D, H, W) -> (B, channels_out, D, H, W)."""
        out: Tensor = self.double_conv(volumes)
        return out


class Down(nn.Module):
    """Max pooling by two, then a double convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool3d(2), DoubleConv(channels_in, channels_out))

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, channels_in, D, H, W) -> (B, channels_out, D/2, H/2, W/2)."""
        out: Tensor = self.maxpool_conv(volumes)
        return out


class Up(nn.Module):
    """Trilinear upsampling by two, concatenation [skip, upsampled], then a double convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = DoubleConv(channels_in, channels_out)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Coarse (B, C, d, h, w) and skip (B, c, 2d, 2h, 2w) -> (B, channels_out, 2d, 2h, 2w)."""
        upsampled = F.interpolate(coarse, scale_factor=2, mode="trilinear", align_corners=True)
        out: Tensor = self.conv(torch.cat([skip, upsampled], dim=1))
        return out


class UNet3D(nn.Module):
    """The 3D U-Net N_theta: 4 poolings, 9 double convolutions, 23,538,144 parameters at width 32.

    Volumes of any size are zero-padded to multiples of 16, half before and half after; local features are cropped
    back, global features are not.
    """

    def __init__(self, width: int = 32, channels_in: int = 1) -> None:
        """`width`: channels at full resolution, a multiple of 8. Raises ValueError otherwise."""
        super().__init__()
        if width % CHANNELS_PER_GROUP:
            raise ValueError(f"backbone width must be a multiple of {CHANNELS_PER_GROUP}, got {width}")
        self.width = width
        self.inc = DoubleConv(channels_in, width)
        self.down1 = Down(width, 2 * width)
        self.down2 = Down(2 * width, 4 * width)
        self.down3 = Down(4 * width, 8 * width)
        self.down4 = Down(8 * width, 16 * width)
        self.up1 = Up((16 + 8) * width, 8 * width)
        self.up2 = Up((8 + 4) * width, 4 * width)
        self.up3 = Up((4 + 2) * width, 2 * width)
        self.up4 = Up((2 + 1) * width, width)
        self.apply(_initialise)

    @property
    def global_channels(self) -> int:
        """Channels of the global features."""
        return 16 * self.width

    @property
    def local_channels(self) -> int:
        """Channels of the local features."""
        return self.width

    def encode(self, volumes: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> global features (B, 16*width, ceil(D/16), ...), by the encoder alone."""
        return self._stages(F.pad(volumes, _padding(volumes)))[-1]

    def pool(self, volumes: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> globally averaged global features (B, 16*width), float32 under any autocast.

        Pooled features of similar volumes differ by less than bf16 resolves; so do not round them.
        """
        return self.encode(volumes).float().mean(dim=(2, 3, 4))

    def forward(self, volumes: Tensor) -> Features:
        """(B, 1, D, H, W) -> global and local features."""
        padding = _padding(volumes)
        full, half, quarter, eighth, global_ = self._stages(F.pad(volumes, padding))
        local = self.up1(global_, eighth)
        local = self.up2(local, quarter)
        local = self.up3(local, half)
        local = self.up4(local, full)
        d, h, w = volumes.shape[2:]
        left, top, front = padding[0], padding[2], padding[4]
        return Features(global_, local[:, :, front : front + d, top : top + h, left : left + w])

    def _stages(self, padded: Tensor) -> list[Tensor]:
        stages = [self.inc(padded)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            stages.append(down(stages[-1]))
        return stages


ENCODER_MODULES = ("inc", "down1", "down2", "down3", "down4")
DECODER_MODULES = ("up1", "up2", "up3", "up4")


def _padding(volumes: Tensor) -> list[int]:
    """Zero padding to multiples of 16 in the order of `F.pad`: last axis first, before and after."""
    padding = []
    for size in reversed(volumes.shape[2:]):
        missing = -size % STRIDE
        padding += [missing // 2, missing - missing // 2]
    return padding


def _initialise(module: nn.Module) -> None:
    # Kaiming-normal with PyTorch's defaults (gain sqrt 2): the released code does not pass the slope.
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight)
