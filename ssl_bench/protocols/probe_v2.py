"""probe-v2: a linear probe of the encoder at every scale, trained until it gains no more.

Against `probe-v1` no class is dropped for good, the best learning rate is not the edge of a grid, and no schedule ends
before the heads have stopped to learn.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.downstream import Downstream, Kind
from ssl_bench.api.protocol import CaseBatches, Protocol, ProtocolFacts, Training
from ssl_bench.protocols.frozen.probe import Probe
from ssl_bench.protocols.frozen.searched import FrozenSearchSettings, heads_training


class ProbeV2(Protocol):
    """Linear heads on standardised features of all encoder stages."""

    Settings = FrozenSearchSettings
    facts = ProtocolFacts(
        title="Probe: linear heads on the frozen encoder's standardised features at every scale",
        source="ssl-bench; multi-scale linear probing",
        frozen_backbone=True,
        reads="encoder",
    )

    def build(self, backbone: Backbone, kind: Kind, classes: int) -> Downstream:
        """The encoder and its heads."""
        assert isinstance(self.settings, FrozenSearchSettings)
        return Probe(backbone, kind, classes, self.settings.heads)

    def prepare(
        self, model: Downstream, batches: CaseBatches, features: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> Training:
        """The heads, fed with stored features."""
        assert isinstance(self.settings, FrozenSearchSettings)
        assert isinstance(model, Probe)
        return heads_training(model, batches, features, self.settings, self.seed, "probe-v2")
