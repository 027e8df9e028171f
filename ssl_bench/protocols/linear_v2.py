"""linear-v2: the backbone is frozen, the paper's heads learn from its standardised features until they gain no more.

Against `linear-v1` it removes what let the luck of a start decide: the scale of the features, a loss under which
classes are dropped for good, one learning rate for all, one head, and a schedule that ends wherever it ends.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.downstream import Downstream, Kind
from ssl_bench.api.protocol import CaseBatches, Protocol, ProtocolFacts, Training
from ssl_bench.protocols.frozen.local import StandardisedDownstream
from ssl_bench.protocols.frozen.searched import FrozenSearchSettings, heads_training


class LinearV2(Protocol):
    """Several of the paper's heads on the frozen backbone's features of fixed, seeded windows."""

    Settings = FrozenSearchSettings
    facts = ProtocolFacts(
        title="Linear: frozen backbone, heads on its standardised features learn",
        source="ssl-bench; the head of GVSL (CVPR 2023), section 4.1",
        frozen_backbone=True,
    )

    def build(self, backbone: Backbone, kind: Kind, classes: int) -> Downstream:
        """The backbone and the paper's head, several times."""
        assert isinstance(self.settings, FrozenSearchSettings)
        return StandardisedDownstream(backbone, kind, classes, self.settings.heads)

    def prepare(
        self, model: Downstream, batches: CaseBatches, features: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> Training:
        """The heads, fed with stored features."""
        assert isinstance(self.settings, FrozenSearchSettings)
        assert isinstance(model, StandardisedDownstream)
        return heads_training(model, batches, features, self.settings, self.seed, "linear-v2")
