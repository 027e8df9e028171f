"""probe-v2: a linear probe of the encoder at every scale, trained until it gains no more.

Against `probe-v1` no class is dropped for good, the best learning rate is not the edge of a grid, and no schedule ends
before the heads have stopped to learn.
"""

from __future__ import annotations

from ssl_bench.api.protocol import ProtocolFacts
from ssl_bench.protocols.frozen.probe import Probe
from ssl_bench.protocols.frozen.searched import SearchedHeads


class ProbeV2(SearchedHeads):
    """Linear heads on standardised features of all encoder stages."""

    name = "probe-v2"
    network = Probe
    facts = ProtocolFacts(
        title="Probe: linear heads on the frozen encoder's standardised features at every scale",
        source="ssl-bench; multi-scale linear probing",
        frozen_backbone=True,
        reads="encoder",
    )
