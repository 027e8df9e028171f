"""probe-v1: a linear probe of the encoder at every scale, fair to methods that train the encoder alone.

Not in the paper. Against `linear-v1` it removes three accidents: a random decoder between encoder and head, the scale
of the features, and one learning rate for all.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.downstream import Downstream, Kind
from ssl_bench.api.protocol import Batch, CaseBatches, Protocol, ProtocolFacts, ProtocolSettings, Training
from ssl_bench.api.rng import numpy_generator
from ssl_bench.nn.losses import PAPER_LOSSES
from ssl_bench.protocols.frozen.ensemble import Ensemble
from ssl_bench.protocols.frozen.features import FrozenFeatures
from ssl_bench.protocols.frozen.probe import Probe


class ProbeV1Settings(ProtocolSettings):
    """The windows are fixed; the optimiser's learning rate is tried with every factor."""

    windows_per_volume: PositiveInt
    learning_rate_factors: tuple[PositiveFloat, ...] = (0.1, 1.0, 10.0)
    """The best on validation is tested."""
    heads: PositiveInt = 3
    """Linear heads of different seeds; their probabilities are averaged."""


class ProbeV1(Protocol):
    """Linear heads on standardised features of all encoder stages."""

    Settings = ProbeV1Settings
    facts = ProtocolFacts(
        title="Probe: linear heads on the frozen encoder's standardised features at every scale",
        source="ssl-bench; multi-scale linear probing",
        frozen_backbone=True,
        reads="encoder",
    )

    def build(self, backbone: Backbone, kind: Kind, classes: int) -> Downstream:
        """The encoder and its heads."""
        assert isinstance(self.settings, ProbeV1Settings)
        return Probe(backbone, kind, classes, self.settings.heads)

    def prepare(
        self, model: Downstream, batches: CaseBatches, features: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> Training:
        """The heads, fed with stored features; their losses are averaged, so each learns as if it were alone."""
        assert isinstance(self.settings, ProbeV1Settings)
        assert isinstance(model.head, Ensemble)
        settings = self.settings
        generator = numpy_generator(self.seed, "probe-v1", "windows")
        stored = FrozenFeatures(batches, settings.windows_per_volume, generator, features)
        model.head.fit(stored.windows)
        batch = settings.batch.of(model.kind)

        def draw(step: int) -> Batch:
            inputs, targets = stored.draw(batch, numpy_generator(self.seed, "probe-v1", step))
            return inputs, targets.repeat(settings.heads, *[1] * (targets.ndim - 1))

        optimisers = tuple(
            settings.optimiser.model_copy(update={"learning_rate": settings.optimiser.learning_rate * factor})
            for factor in settings.learning_rate_factors
        )
        return Training(model.head, draw, optimisers, PAPER_LOSSES[model.kind])
