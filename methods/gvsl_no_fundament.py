"""GVSL without the fundament (He et al., CVPR 2023, Table 1): Z-matching alone, no restoration.

A is still corrupted, which the paper leaves open: so the matching is GVSL's own.
"""

from __future__ import annotations

from torch import Tensor

from ssl_bench.backbone import UNet3D
from ssl_bench.draws import Draws
from ssl_bench.method import MethodFacts

from .gvsl import GVSL, GVSLConfig


class GVSLNoFundament(GVSL):
    """Normalised cross-correlation + smoothness."""

    facts = MethodFacts(
        title="GVSL without fundament",
        paper=GVSL.facts.paper,
        year=2023,
        version=1,
        paradigm="geometric",
        pretrains="encoder and decoder",
        smallest_batch=2,
    )

    def __init__(self, backbone: UNet3D, config: GVSLConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        del self.restoration

    def losses(self, a: Tensor, b: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Corrupt A, encode both, match the pair."""
        ncc, smoothness = self.matching_losses(a, b, *self.encode(a, b, draws))
        return {"loss": ncc + smoothness, "ncc": ncc.detach(), "smoothness": smoothness.detach()}
