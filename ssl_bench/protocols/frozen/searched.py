"""How the second versions of the frozen protocols train their heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from pydantic import PositiveInt
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.downstream import Downstream, Kind
from ssl_bench.api.protocol import Batch, CaseBatches, Protocol, SearchSettings, Training
from ssl_bench.api.rng import numpy_generator
from ssl_bench.nn.losses import DICE_CROSS_ENTROPY_LOSSES
from ssl_bench.protocols.frozen.ensemble import Ensemble, EnsembleDownstream
from ssl_bench.protocols.frozen.features import Features, FrozenFeatures


class FrozenSearchSettings(SearchSettings):
    """The windows are fixed, so that their features are computed once."""

    windows_per_volume: PositiveInt
    heads: PositiveInt = 3
    """Heads of different seeds; their probabilities are averaged."""


class SearchedHeads(Protocol):
    """Several heads on the frozen backbone's features of fixed, seeded windows."""

    Settings = FrozenSearchSettings
    name: ClassVar[str]
    """The protocol's, by which the seed draws windows and batches."""
    network: ClassVar[type[EnsembleDownstream]]
    """What of the backbone the heads read."""

    def build(self, backbone: Backbone, kind: Kind, classes: int) -> Downstream:
        """The backbone and its heads."""
        assert isinstance(self.settings, FrozenSearchSettings)
        return self.network(backbone, kind, classes, self.settings.heads)

    def prepare(self, model: Downstream, batches: CaseBatches, features: Callable[[Tensor], Features]) -> Training:
        """The heads, fed with stored features.

        Their losses are averaged, so that under Adam each learns as if it were alone.
        """
        settings = self.settings
        assert isinstance(settings, FrozenSearchSettings)
        assert isinstance(model.head, Ensemble)
        generator = numpy_generator(self.seed, self.name, "windows")
        stored = FrozenFeatures(batches, settings.windows_per_volume, generator, features)
        model.head.fit(stored.windows)
        batch = settings.batch.of(model.kind)

        def draw(step: int) -> Batch:
            inputs, targets = stored.draw(batch, numpy_generator(self.seed, self.name, step))
            return inputs, targets.repeat(settings.heads, *[1] * (targets.ndim - 1))

        loss = DICE_CROSS_ENTROPY_LOSSES[model.kind]
        return Training(model.head, draw, settings.optimisers(), loss, settings.search())
