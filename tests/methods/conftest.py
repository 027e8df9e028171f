"""Small batches and built methods."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_bench.api.method import Method
from ssl_bench.api.registry import METHODS
from ssl_bench.api.rng import Draws, seeded_initialisation
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.data.windows import Corpus

CROP = 32
SIDE = 48
"""Of the volumes: larger than the windows that views are taken out of."""
PRETRAINING = [name for name in METHODS.names() if name != "scratch"]


def build(name: str, crop: int = CROP, **options: object) -> Method:
    """A method of width 8 whose weights are always the same."""
    plugin = METHODS.load(name)
    with seeded_initialisation(0):
        return plugin(UNet3D(8), plugin.Config.model_validate(options), crop)


def prepared(name: str, corpus: Corpus, batch: int) -> tuple[Method, Tensor, Draws]:
    """A method that has refreshed itself, the batch it chose, and that batch's draws."""
    method = build(name)
    if method.refresh_every:
        with torch.no_grad():
            method.refresh(corpus.of_side(method.region), 0, np.random.default_rng(0))
    windows = method.choose_windows(len(corpus), batch, np.random.default_rng(1))
    return method, corpus.of_side(method.region).read(windows), Draws.keyed("test", samples=range(batch))


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """Sixteen smooth random volumes; methods are tested on anatomy in the engine's tests."""
    noise = torch.rand(16, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    volumes = torch.nn.functional.interpolate(noise, size=(SIDE, SIDE, SIDE), mode="trilinear", align_corners=True)
    return Corpus(volumes[:, 0].numpy(), CROP, "cpu")
