"""linear-v2: the backbone is frozen, the paper's heads learn from its standardised features until they gain no more.

Against `linear-v1` it removes what let the luck of a start decide: the scale of the features, a loss under which
classes are dropped for good, one learning rate for all, one head, and a schedule that ends wherever it ends.
"""

from __future__ import annotations

from ssl_bench.api.protocol import ProtocolFacts
from ssl_bench.protocols.frozen.local import StandardisedDownstream
from ssl_bench.protocols.frozen.searched import SearchedHeads


class LinearV2(SearchedHeads):
    """Several of the paper's heads on the frozen backbone's standardised features."""

    name = "linear-v2"
    network = StandardisedDownstream
    facts = ProtocolFacts(
        title="Linear: frozen backbone, heads on its standardised features learn",
        source="ssl-bench; the head of GVSL (CVPR 2023), section 4.1",
        frozen_backbone=True,
    )
