"""GVSL without the fundament (He et al., CVPR 2023, Table 1): Z-matching alone, no restoration.

A is still corrupted, which the paper leaves open: so the matching is GVSL's own.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from ssl_bench.api.backbone import Backbone

from .gvsl import GVSL, GVSLConfig


class GVSLNoFundament(GVSL):
    """Normalised cross-correlation + weighted smoothness."""

    facts = dataclasses.replace(GVSL.facts, title="GVSL without fundament", version=2)

    def __init__(self, backbone: Backbone, config: GVSLConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        del self.restoration

    def losses(self, corrupted: Tensor, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Encode the corrupted A and B, match the pair."""
        ncc, smoothness = self.matching_losses(a, b, *self.encode(corrupted, b))
        return {
            "loss": ncc + self.options.smoothness_weight * smoothness,
            "ncc": ncc.detach(),
            "smoothness": smoothness.detach(),
        }
