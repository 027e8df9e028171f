"""Swin UNETR's second version (He et al., SwinUNETR-V2, MICCAI 2023): MONAI's layers. VoCo's networks are of this kind.

Before each stage of the transformer there is a residual convolution; all else is ``swinunetr``.
"""

from __future__ import annotations

import torch
from monai.networks.nets import SwinUNETR as MonaiSwinUNETR
from torch import nn

from ssl_bench.api.backbone import BackboneFacts
from ssl_bench.backbones.swinunetr import SwinUNETR as FirstVersion
from ssl_bench.nn.instance_norm import with_single_voxels


class SwinUNETRV2(FirstVersion):
    """As `swinunetr`, with a block of two convolutions before each of the four stages."""

    facts = BackboneFacts(title="Swin UNETR, second version", source="He et al., MICCAI 2023; MONAI")

    def __init__(self, width: int = 32, channels_in: int = 1) -> None:
        """`width`: channels of the transformer, rounded up to a multiple of 24; raises ValueError for more than 192."""
        super().__init__(width, channels_in)
        wanted = torch.get_default_device()
        # MONAI reads numbers while it builds, so elsewhere first.
        with torch.device("cpu"):
            network = MonaiSwinUNETR(channels_in, 1, feature_size=self.features, use_v2=True)
        with_single_voxels(network)
        for name in self.encoder_modules[1:]:
            (convolution,) = getattr(network.swinViT, f"{name}c")
            setattr(self, name, nn.Sequential(convolution, getattr(self, name)).to(wanted))
