"""What networks and heads are built of."""

from __future__ import annotations

from torch import Tensor, nn

from ssl_bench.nn.cpu.convolution import Convolution
from ssl_bench.nn.cpu.group_norm import GroupNorm

LEAKY_SLOPE = 0.2
CHANNELS_PER_GROUP = 8


class DoubleConv(nn.Module):
    """Twice: convolution 3x3x3 with bias, GroupNorm of eight channels a group, LeakyReLU 0.2."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        groups = channels_out // CHANNELS_PER_GROUP
        self.double_conv = nn.Sequential(
            Convolution(channels_in, channels_out),
            GroupNorm(groups, channels_out),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            Convolution(channels_out, channels_out),
            GroupNorm(groups, channels_out),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
        )

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, channels_in, D, H, W) -> (B, channels_out, D, H, W)."""
        out: Tensor = self.double_conv(volumes)
        return out
