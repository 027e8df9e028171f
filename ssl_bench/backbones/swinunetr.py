"""Swin UNETR (Hatamizadeh et al., 2022; Tang et al., CVPR 2022): MONAI's layers.

The encoder is the Swin transformer alone, which is what its pre-training trains and MONAI's ``load_from`` reads; the
convolutions on the skip connections belong to the decoder. One of them reads the volume again, so that the volume
itself is the first stage, at full resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.nets import SwinUNETR as MonaiSwinUNETR
from torch import Tensor

from ssl_bench.api.backbone import Backbone, BackboneFacts
from ssl_bench.nn.instance_norm import with_single_voxels

SMALLEST, LARGEST = 24, 192
"""Channels: a multiple of 12, as MONAI's layers want, and of 8, as heads want; and the most that were published."""


class SwinUNETR(Backbone):
    """Patches of 2, four stages of two blocks with windows of 7; 62 million parameters at width 32, the paper's 48.

    The transformer's channels are multiples of 24: the first that is no smaller than `width`.
    """

    facts = BackboneFacts(
        title="Swin UNETR",
        source="Hatamizadeh et al., BrainLes 2021; Tang et al., CVPR 2022; MONAI",
    )
    stride = 32
    encoder_modules = ("patch_embed", "layers1", "layers2", "layers3", "layers4")
    decoder_modules = (
        *("encoder1", "encoder2", "encoder3", "encoder4", "encoder10"),
        *("decoder5", "decoder4", "decoder3", "decoder2", "decoder1"),
    )

    def __init__(self, width: int = 32, channels_in: int = 1) -> None:
        """`width`: channels of the transformer, rounded up to a multiple of 24; raises ValueError for more than 192."""
        super().__init__(width, channels_in)
        self.features = -(-width // SMALLEST) * SMALLEST
        if self.features > LARGEST:
            raise ValueError(f"Swin UNETR has at most {LARGEST} channels, not {self.features}")
        network = _monai(channels_in, self.features)
        with_single_voxels(network)
        self.patch_embed = network.swinViT.patch_embed
        for name in self.encoder_modules[1:]:
            (layer,) = getattr(network.swinViT, name)
            setattr(self, name, layer)
        for name in self.decoder_modules:
            setattr(self, name, getattr(network, name))

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Those of the volume, and then of the transformer, doubled from scale to scale."""
        return (self.channels_in, *(2**level * self.features for level, _ in enumerate(self.encoder_modules)))

    @property
    def local_channels(self) -> int:
        """Those of the decoder's last block."""
        return self.features

    def stages(self, volumes: Tensor) -> list[Tensor]:
        """(B, C, D, H, W) -> the padded volumes, and five stages, (B, features, D/2, ...) to (B, 16 features, D/32, ...).

        Each voxel's channels are normalised, as the paper's decoder reads them.
        """
        padded = self.pad(volumes)
        stages, scale = [padded], padded
        for name in self.encoder_modules:
            scale = self.run(getattr(self, name), scale)
            stages.append(normalised(scale))
        return stages

    def decode(self, stages: Sequence[Tensor]) -> Tensor:
        """The volumes and five stages, finest first -> local features (B, features, D, H, W) of the padded size."""
        volumes, half, quarter, eighth, sixteenth, coarsest = stages
        local = self.run(self.decoder5, self.run(self.encoder10, coarsest), sixteenth)
        local = self.run(self.decoder4, local, self.run(self.encoder4, eighth))
        local = self.run(self.decoder3, local, self.run(self.encoder3, quarter))
        local = self.run(self.decoder2, local, self.run(self.encoder2, half))
        return self.run(self.decoder1, local, self.run(self.encoder1, volumes))


def _monai(channels_in: int, features: int) -> MonaiSwinUNETR:
    """MONAI's network where torch makes tensors by default; MONAI reads numbers while it builds, so elsewhere first."""
    wanted = torch.get_default_device()
    with torch.device("cpu"):
        network = MonaiSwinUNETR(channels_in, 1, feature_size=features)
    return network.to(wanted)


def normalised(features: Tensor) -> Tensor:
    """(B, C, d, h, w) with the channels of every voxel at mean 0 and deviation 1, without parameters."""
    rows = features.movedim(1, -1)
    return F.layer_norm(rows, rows.shape[-1:]).movedim(-1, 1)
