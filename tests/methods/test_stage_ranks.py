"""Methods that compare views do not collapse in a few dozen small steps with a batch of eight volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.rng import Draws
from ssl_bench.data.windows import Corpus, Windows
from ssl_bench.training.collapse import channel_rank, collapse_measures

from .conftest import CROP, build

STEPS, BATCH = 24, 8
LEARNING_RATE = 3e-4
"""That of the preset of minutes."""


def ranks_and_spread(backbone: Backbone, corpus: Corpus) -> tuple[list[float], float]:
    """The effective rank of every encoder stage over two volumes, and how far apart pooled features of eight are."""
    volumes = corpus.of_side(CROP).read(Windows(np.arange(BATCH), np.full((BATCH, 3), 0.5)))
    with torch.no_grad():
        stages = backbone.stages(volumes[:2])
        pooled = backbone.pool(volumes)
    ranks = [channel_rank(stage.movedim(1, -1).flatten(0, 3)) for stage in stages]
    return ranks, collapse_measures(pooled)["feature_std"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["moco", "dense_contrast", "barlow_twins", "vicreg", "dino"])
def test_stages_keep_a_quarter_of_their_rank_and_volumes_stay_apart(name: str, corpus: Corpus) -> None:
    method = build(name)
    ranks, spread = ranks_and_spread(method.backbone, corpus)
    optimiser = torch.optim.Adam(method.optimised_parameters(), lr=LEARNING_RATE)
    for step in range(STEPS):
        windows = method.choose_windows(len(corpus), BATCH, np.random.default_rng(step))
        draws = Draws.keyed("ranks", samples=range(step * BATCH, (step + 1) * BATCH))
        optimiser.zero_grad()
        method.training_step(corpus.of_side(method.region).read(windows), draws)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(method.optimised_parameters(), 1.0)
        optimiser.step()
        method.after_step(step, STEPS)
    after, spread_after = ranks_and_spread(method.backbone, corpus)
    assert all(now > before / 4 for now, before in zip(after, ranks, strict=True)), (ranks, after)
    assert spread_after > spread / 10, (spread, spread_after)
