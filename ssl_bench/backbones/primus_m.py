"""Primus-M as it is (Wald et al., arXiv 2503.01835), at width 32.

It is what the transformers of OpenMind (Wald et al., ICCV 2025) are. The layers are those of ``primus``.
"""

from __future__ import annotations

from ssl_bench.api.backbone import BackboneFacts
from ssl_bench.backbones.primus import Primus as SmallPrimus


class PrimusM(SmallPrimus):
    """Sixteen blocks of 864 channels with 12 heads, positions drawn for 160^3 voxels: 154 million parameters.

    Other widths have 27 channels for one of theirs.
    """

    facts = BackboneFacts(
        title="Primus-M, a plain transformer", source="Wald et al., arXiv 2503.01835; blocks of EVA-02 from timm"
    )
    depth = 16
    channels_of_width = 27
    head_channels = 72
    positions = 20
