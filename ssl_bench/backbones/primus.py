"""Primus (Wald et al., Primus: Enforcing Attention Usage for 3D Medical Image Segmentation, arXiv 2503.01835).

Tokens of 8^3 voxels, a plain transformer of the blocks of EVA-02 (timm's), and a light decoder. Every token keeps its
scale, so that all stages have one resolution: a quarter of the blocks is a stage, and the probe reads the tokens after
each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone, BackboneFacts
from ssl_bench.nn.from_timm import EvaBlock

PATCH = 8
"""Side of a token in voxels."""
TEMPERATURE = 10_000
"""Longest wavelength of the rotary position embedding, over 2 pi."""


class Tokens(nn.Module):
    """Patches of 8^3 voxels -> tokens with a learned position, which is drawn for a grid of `positions`^3 of them.

    Windows of another size see it interpolated.
    """

    def __init__(self, channels_in: int, channels: int, positions: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(channels_in, channels, PATCH, stride=PATCH)
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, channels, *[positions] * 3), std=0.02))

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, channels, D/8, H/8, W/8)."""
        tokens: Tensor = self.proj(volumes)
        position: Tensor = self.position
        if position.shape[2:] != tokens.shape[2:]:
            position = F.interpolate(position, tokens.shape[2:], mode="trilinear", align_corners=False)
        return tokens + position


class TransformerStage(nn.Module):
    """Some blocks of attention over all tokens and SwiGLU, each scaled by LayerScale, after the last one a norm."""

    def __init__(self, channels: int, heads: int, blocks: int, last: bool) -> None:
        super().__init__()
        self.head_channels = channels // heads
        self.blocks = nn.ModuleList(
            EvaBlock(
                channels,
                heads,
                qkv_fused=False,
                mlp_ratio=4 * 2 / 3,
                swiglu_mlp=True,
                scale_mlp=True,
                scale_attn_inner=True,
                num_prefix_tokens=0,
                init_values=0.1,
                norm_layer=nn.LayerNorm,
            )
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(channels) if last else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, d, h, w) -> the same shape."""
        rotation = rotary_positions(features.shape[2:], self.head_channels, features.device)
        tokens = features.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, rope=rotation)
        out: Tensor = self.norm(tokens)
        return out.transpose(1, 2).reshape(features.shape)


class Decoder(nn.Sequential):
    """Three transposed convolutions by two; channels fall by equal factors to twice the last one's, in eights."""

    def __init__(self, channels: int, channels_out: int) -> None:
        fall = (channels / (2 * channels_out)) ** (1 / 3)
        first, second = (8 * round(channels / fall**step / 8) for step in (1, 2))
        super().__init__(
            *self._doubled(channels, first),
            *self._doubled(first, second),
            nn.ConvTranspose3d(second, channels_out, 2, stride=2),
        )

    @staticmethod
    def _doubled(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
        return nn.ConvTranspose3d(channels_in, channels_out, 2, stride=2), ChannelNorm(channels_out), nn.GELU()


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of the channels of each voxel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, d, h, w) -> the same shape."""
        return super().forward(features.movedim(1, -1)).movedim(-1, 1)


def rotary_positions(grid: Sequence[int], channels: int, device: torch.device) -> Tensor:
    """Sines, then cosines, by which timm's attention turns queries and keys: (tokens, 2 channels) of one head.

    Each axis of the `grid` has a third of the channels, in pairs of falling frequency (Su et al., RoFormer, 2021, over
    three axes). In tokens, so that a distance is the same in a window of any size.
    """
    pairs = channels // 6
    frequency = TEMPERATURE ** -(torch.arange(pairs, device=device, dtype=torch.float32) / pairs)
    places = torch.meshgrid(*(torch.arange(side, device=device, dtype=torch.float32) for side in grid), indexing="ij")
    angles = torch.cat([place.flatten()[:, None] * frequency for place in places], dim=1).repeat_interleave(2, dim=1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Primus(Backbone):
    """Twelve blocks of 12 `width` channels, heads of 48: about as many parameters as `unet3d` has of the same width."""

    facts = BackboneFacts(
        title="Primus, a plain transformer", source="Wald et al., arXiv 2503.01835; blocks of EVA-02 from timm"
    )
    stride = PATCH
    encoder_modules = ("tokens", "blocks1", "blocks2", "blocks3", "blocks4")
    decoder_modules = ("decoder",)
    depth: ClassVar[int] = 12
    """Blocks, a quarter of them a stage."""
    channels_of_width: ClassVar[int] = 12
    """The transformer's channels for one of `width`."""
    head_channels: ClassVar[int] = 48
    """A multiple of 6: sine and cosine over three axes."""
    positions: ClassVar[int] = 8
    """The learned position is drawn for so many tokens an axis."""

    def __init__(self, width: int = 32, channels_in: int = 1) -> None:
        """`width`: channels of the local features, by which those of the transformer grow."""
        super().__init__(width, channels_in)
        channels = self.global_channels
        self.tokens = Tokens(channels_in, channels, self.positions)
        *earlier, last = self.encoder_modules[1:]
        for name in (*earlier, last):
            heads, blocks = channels // self.head_channels, self.depth // 4
            setattr(self, name, TransformerStage(channels, heads, blocks, last=name == last))
        self.decoder = Decoder(channels, width)
        self.apply(_initialise)

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """The transformer's, four times."""
        return (self.channels_of_width * self.width,) * 4

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """All stages have the tokens' scale."""
        return (PATCH,) * 4

    @property
    def local_channels(self) -> int:
        """Those of the decoder's last layer."""
        return self.width

    def stages(self, volumes: Tensor) -> list[Tensor]:
        """(B, C, D, H, W) -> the tokens after each quarter of the blocks, (B, channels, D/8, H/8, W/8), padded."""
        stages = [self.run(self.tokens, self.pad(volumes))]
        for name in self.encoder_modules[1:]:
            stages.append(self.run(getattr(self, name), stages[-1]))
        return stages[1:]

    def decode(self, stages: Sequence[Tensor]) -> Tensor:
        """The last of the stages -> local features (B, width, D, H, W) of the padded size."""
        return self.run(self.decoder, stages[-1])


def _initialise(module: nn.Module) -> None:
    # As EVA-02 and other vision transformers; convolutions as nnU-Net's.
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=1e-2)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
