"""The shared backbone: GVSL's 3D U-Net (CVPR 2023, supplement Fig. 4a).

Details and parameter names follow the released network, so that its weights can be read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone, BackboneFacts
from ssl_bench.nn.blocks import CHANNELS_PER_GROUP, DoubleConv


class MaxPool(nn.MaxPool3d):
    """Max pooling in the precision of its input: a maximum is exact in any, and autocast would copy to float32."""

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, C, D/2, H/2, W/2) of the same precision."""
        with torch.autocast(volumes.device.type, enabled=False):
            pooled: Tensor = super().forward(volumes)
            return pooled


class Down(nn.Module):
    """Max pooling by two, then a double convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(MaxPool(2), DoubleConv(channels_in, channels_out))

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
        out: Tensor = self.conv(torch.cat([skip, upsample(coarse)], dim=1))
        return out


def upsample(coarse: Tensor) -> Tensor:
    """(B, C, d, h, w) -> (B, C, 2d, 2h, 2w), trilinear, first on first and last on last voxel (align_corners).

    `F.interpolate` gives the same, but its backward pass is slow on a processor, and on a GPU without order. Here it is
    a product with a matrix along each axis, in both directions.
    """
    batch, channels, d, h, w = coarse.shape
    rows = coarse.permute(0, 2, 3, 4, 1)
    with torch.autocast(coarse.device.type, enabled=False):
        rows = (_doubling(w, coarse) @ rows.reshape(-1, w, channels)).view(-1, h, 2 * w * channels)
        rows = (_doubling(h, coarse) @ rows).view(batch, d, 4 * h * w * channels)
        rows = _doubling(d, coarse) @ rows
    return rows.view(batch, 2 * d, 2 * h, 2 * w, channels).permute(0, 4, 1, 2, 3)


def _doubling(length: int, like: Tensor) -> Tensor:
    """Linear interpolation of 2 n voxels from n = `length`, (2n, n)."""
    precise = torch.promote_types(like.dtype, torch.float32)
    position = torch.arange(2 * length, device=like.device, dtype=precise) * ((length - 1) / (2 * length - 1))
    if like.dtype == torch.bfloat16:
        # Weights that bf16 holds exactly, so that two neighbours' add up to one; 1/512 voxel off at most.
        position = (position * 256).round() / 256
    node = torch.arange(length, device=like.device)
    return (1 - (position.unsqueeze(1) - node).abs()).clamp(min=0).to(like.dtype)


class UNet3D(Backbone):
    """The 3D U-Net N_theta: 4 poolings, 9 double convolutions, 23,538,144 parameters at width 32."""

    facts = BackboneFacts(
        title="3D U-Net of GVSL", source="GVSL (CVPR 2023), supplement Fig. 4a", gives=("sparse encoder",)
    )
    stride = 16
    encoder_modules = ("inc", "down1", "down2", "down3", "down4")
    decoder_modules = ("up1", "up2", "up3", "up4")

    def __init__(self, width: int = 32, channels_in: int = 1) -> None:
        """`width`: channels at full resolution, a multiple of 8; raises ValueError otherwise."""
        super().__init__(width, channels_in)
        if width % CHANNELS_PER_GROUP:
            raise ValueError(f"backbone width must be a multiple of {CHANNELS_PER_GROUP}, got {width}")
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
    def stage_channels(self) -> tuple[int, ...]:
        """`width`, doubled from stage to stage."""
        return tuple(2**level * self.width for level, _ in enumerate(self.encoder_modules))

    def stages(self, volumes: Tensor) -> list[Tensor]:
        """(B, C, D, H, W) -> five stages, (B, width, D, H, W) to (B, 16*width, D/16, ...) of the padded size."""
        stages = [self.run(self.inc, self.pad(volumes))]
        for down in (self.down1, self.down2, self.down3, self.down4):
            stages.append(self.run(down, stages[-1]))
        return stages

    def decode(self, stages: Sequence[Tensor]) -> Tensor:
        """Five stages, finest first -> local features (B, width, D, H, W) of the padded size."""
        *skips, local = stages
        for up in (self.up1, self.up2, self.up3, self.up4):
            local = self.run(up, local, skips.pop())
        return local


def _initialise(module: nn.Module) -> None:
    # Kaiming-normal with PyTorch's defaults (gain sqrt 2): the released code does not pass the slope.
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight)
