"""How the second versions of the frozen protocols train their heads."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import PositiveInt
from torch import Tensor

from ssl_bench.api.protocol import Batch, CaseBatches, SearchSettings, Training
from ssl_bench.api.rng import numpy_generator
from ssl_bench.nn.losses import DICE_CROSS_ENTROPY_LOSSES
from ssl_bench.protocols.frozen.ensemble import Ensemble, EnsembleDownstream
from ssl_bench.protocols.frozen.features import Features, FrozenFeatures


class FrozenSearchSettings(SearchSettings):
    """The windows are fixed, so that their features are computed once."""

    windows_per_volume: PositiveInt
    heads: PositiveInt = 3
    """Heads of different seeds; their probabilities are averaged."""


def heads_training(
    model: EnsembleDownstream,
    batches: CaseBatches,
    features: Callable[[Tensor], Features],
    settings: FrozenSearchSettings,
    seed: int,
    protocol: str,
) -> Training:
    """The heads of `model`, fed with stored features of windows that `seed` and the name of the `protocol` draw.

    The losses of the heads are averaged, so that under Adam each learns as if it were alone.
    """
    assert isinstance(model.head, Ensemble)
    stored = FrozenFeatures(batches, settings.windows_per_volume, numpy_generator(seed, protocol, "windows"), features)
    model.head.fit(stored.windows)
    batch: int = getattr(settings.batch, model.kind)

    def draw(step: int) -> Batch:
        inputs, targets = stored.draw(batch, numpy_generator(seed, protocol, step))
        return inputs, targets.repeat(settings.heads, *[1] * (targets.ndim - 1))

    loss = DICE_CROSS_ENTROPY_LOSSES[model.kind]
    return Training(model.head, draw, settings.optimisers(), loss, settings.search())
