"""Whether a representation has collapsed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ssl_bench.api.backbone import Backbone

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def collapse_of_backbone(fabric: Fabric, backbone: Backbone, batches: Iterable[Tensor]) -> dict[str, float]:
    """`collapse_measures` of what `backbone` makes of `batches` (B, 1, D, H, W), which are on its device."""
    with torch.no_grad(), fabric.autocast():
        features = [backbone.pool(volumes) for volumes in batches]
    return collapse_measures(torch.cat(features))


def collapse_measures(features: Tensor) -> dict[str, float]:
    """Two measures of collapse of pooled global features (N, channels), and N as `volumes`.

    `feature_std`, the mean standard deviation of the L2-normalised features (1/sqrt(channels) when they fill the
    sphere, 0 when collapsed: SimSiam, CVPR 2021, section 4.1), and `effective_rank`, the exponential of the entropy
    of the centred features' normalised singular values (Roy and Vetterli, EUSIPCO 2007), at most N - 1.
    """
    from lightly.utils.debug import std_of_l2_normalized

    features = features.float().cpu()
    singular = torch.linalg.svdvals(features - features.mean(0))
    shares = singular / singular.sum().clamp_min(torch.finfo(torch.float32).tiny)
    entropy = torch.special.entr(shares).sum()
    return {
        "feature_std": float(std_of_l2_normalized(features)),
        "effective_rank": float(entropy.exp()),
        "volumes": float(len(features)),
    }
