"""The 3x3x3 convolution of every stage, right also on volumes of two slices in bf16."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Convolution(nn.Conv3d):
    """PyTorch's, 3x3x3 with bias, with zeros outside.

    oneDNN's weight gradients in bf16 on processors with AVX-512 but without AMX (`jit_bf16:avx512_core_bf16`, seen in
    3.12) are wrong where a volume has fewer slices than the kernel and more than one: memory outside the volume is
    read and written. Two slices are what the coarsest stage has of a window of 32, so zeros are laid around them first.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, channels_in, D, H, W) -> (B, channels_out, D, H, W)."""
        if volumes.device.type != "cpu" or volumes.shape[2] != 2:
            return super().forward(volumes)
        return F.conv3d(F.pad(volumes, (0, 0, 0, 0, 1, 1)), self.weight, self.bias, padding=(0, 1, 1))
