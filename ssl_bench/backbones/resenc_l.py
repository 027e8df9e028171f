"""nnU-Net's ResEnc-L as it is (Isensee et al., nnU-Net Revisited, MICCAI 2024), at width 32.

It is what the networks of OpenMind (Wald et al., ICCV 2025) are. The layers are those of ``resenc``, with all stages.
"""

from __future__ import annotations

from ssl_bench.api.backbone import BackboneFacts
from ssl_bench.backbones.resenc import ResEnc as ReducedResEnc


class ResEncL(ReducedResEnc):
    """Six stages of 1, 3, 4, 6, 6 and 6 residual blocks: 102 million parameters at width 32, channels up to 320."""

    facts = BackboneFacts(
        title="ResEnc-L of nnU-Net",
        source="Isensee et al., nnU-Net Revisited, MICCAI 2024; dynamic_network_architectures",
        smallest_crop=64,
    )
    stride = 32
    encoder_modules = ("stage1", "stage2", "stage3", "stage4", "stage5", "stage6")
    decoder_modules = ("up5", "up4", "up3", "up2", "up1")
    blocks = (1, 3, 4, 6, 6, 6)
