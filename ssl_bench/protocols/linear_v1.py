"""linear-v1: the backbone is frozen, the head alone learns (GVSL section 4.1, supplement E.3.1)."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import PositiveInt
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.downstream import Downstream, Kind
from ssl_bench.api.protocol import Batch, CaseBatches, Protocol, ProtocolFacts, ProtocolSettings, Training
from ssl_bench.api.rng import numpy_generator
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.nn.losses import PAPER_LOSSES
from ssl_bench.protocols.frozen.features import FrozenFeatures


class LinearV1Settings(ProtocolSettings):
    """The windows are fixed, so that their features are computed once."""

    windows_per_volume: PositiveInt


class LinearV1(Protocol):
    """The head learns from the frozen backbone's features of fixed, seeded windows.

    Features are raw, as in the paper: what the head reaches depends on their scale too.
    """

    Settings = LinearV1Settings
    facts = ProtocolFacts(
        title="Linear: frozen backbone, the head alone learns",
        source="GVSL (CVPR 2023), section 4.1 and supplement E.3.1",
        frozen_backbone=True,
    )

    def build(self, backbone: Backbone, kind: Kind, classes: int) -> Downstream:
        """The backbone and the paper's head."""
        return PaperDownstream(backbone, kind, classes)

    def prepare(
        self, model: Downstream, batches: CaseBatches, features: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> Training:
        """The head, fed with stored features."""
        assert isinstance(self.settings, LinearV1Settings)
        generator = numpy_generator(self.seed, "linear-v1", "windows")
        stored = FrozenFeatures(batches, self.settings.windows_per_volume, generator, features)
        batch = self.settings.batch.of(model.kind)

        def draw(step: int) -> Batch:
            return stored.draw(batch, numpy_generator(self.seed, "linear-v1", step))

        return Training(model.head, draw, (self.settings.optimiser,), PAPER_LOSSES[model.kind])
