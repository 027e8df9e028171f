"""The residual encoder U-Net of nnU-Net (Isensee et al., nnU-Net Revisited, MICCAI 2024), reduced.

The layers are those of ``dynamic_network_architectures``, nnU-Net's own library. nnU-Net's ResEnc-L has residual blocks
of 1, 3, 4, 6, 6 and 6 in its stages, and its planner leaves out the coarse stages that small windows leave no room for:
windows of 32 to 63 voxels have the four stages here. All six are ``resenc_l``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone, BackboneFacts
from ssl_bench.nn.instance_norm import InstanceNorm


def resenc_unet(channels_in: int, features: Sequence[int], blocks: Sequence[int]) -> ResidualEncoderUNet:
    """nnU-Net's network of so many `features` and residual `blocks` a stage, initialised as nnU-Net does it."""
    count = len(features)
    network = ResidualEncoderUNet(
        input_channels=channels_in,
        n_stages=count,
        features_per_stage=tuple(features),
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=(1,) + (2,) * (count - 1),
        n_blocks_per_stage=tuple(blocks),
        num_classes=1,
        n_conv_per_stage_decoder=(1,) * (count - 1),
        conv_bias=True,
        norm_op=InstanceNorm,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    network.apply(network.initialize)
    return network


class Up(nn.Module):
    """Transposed convolution by two, concatenation [upsampled, skip], convolution with norm and activation."""

    def __init__(self, upsample: nn.Module, convolve: nn.Module) -> None:
        super().__init__()
        self.transpconv = upsample
        self.convs = convolve

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Coarse (B, C, d, h, w) and skip (B, c, 2d, 2h, 2w) -> (B, c, 2d, 2h, 2w)."""
        out: Tensor = self.convs(torch.cat([self.transpconv(coarse), skip], dim=1))
        return out


class ResEnc(Backbone):
    """Four stages of 1, 3, 4 and 6 residual blocks, one convolution a decoder stage; channels double from `width`."""

    facts = BackboneFacts(
        title="Residual encoder U-Net of nnU-Net, four stages",
        source="Isensee et al., nnU-Net Revisited, MICCAI 2024; dynamic_network_architectures",
    )
    stride = 8
    encoder_modules = ("stage1", "stage2", "stage3", "stage4")
    decoder_modules = ("up3", "up2", "up1")
    blocks: ClassVar[tuple[int, ...]] = (1, 3, 4, 6)
    """Residual blocks of each stage."""
    widest: ClassVar[int] = 10
    """No stage has more than so many times the first one's channels: nnU-Net's 320 of 32."""

    def __init__(self, width: int = 32, channels_in: int = 1) -> None:
        """`width`: channels at full resolution, 32 in nnU-Net."""
        super().__init__(width, channels_in)
        network = resenc_unet(channels_in, self.stage_channels, self.blocks)
        stages = list(network.encoder.stages)
        # The stem has the resolution of the first stage, so that it is a part of it.
        stages[0] = nn.Sequential(network.encoder.stem, stages[0])
        for name, stage in zip(self.encoder_modules, stages, strict=True):
            setattr(self, name, stage)
        decoder = network.decoder
        for name, upsample, convolve in zip(self.decoder_modules, decoder.transpconvs, decoder.stages, strict=True):
            setattr(self, name, Up(upsample, convolve))

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """`width`, doubled from stage to stage up to `widest` times."""
        return tuple(min(2**level, self.widest) * self.width for level, _ in enumerate(self.blocks))

    def stages(self, volumes: Tensor) -> list[Tensor]:
        """(B, C, D, H, W) -> the stages, (B, width, D, H, W) and then half the extent each, of the padded size."""
        stages = [self.pad(volumes)]
        for name in self.encoder_modules:
            stages.append(self.run(getattr(self, name), stages[-1]))
        return stages[1:]

    def decode(self, stages: Sequence[Tensor]) -> Tensor:
        """The stages, finest first -> local features (B, width, D, H, W) of the padded size."""
        *skips, local = stages
        for name in self.decoder_modules:
            local = self.run(getattr(self, name), local, skips.pop())
        return local
