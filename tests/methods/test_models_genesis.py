"""Models Genesis restores the flipped volume from its own corruption of it."""

from __future__ import annotations

import torch

from ssl_bench.api.rng import Draws
from ssl_bench.methods.models_genesis import ModelsGenesis
from ssl_bench.transforms.corruption import GVSL, MODELS_GENESIS, corrupt, random_flip

from .conftest import build


def test_the_loss_is_the_mean_squared_error_to_the_flipped_volume() -> None:
    method = build("models_genesis")
    assert isinstance(method, ModelsGenesis)
    volumes = torch.rand(4, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    draws = Draws.keyed("genesis", samples=range(4))
    flipped = random_flip(volumes, draws)
    corrupted = corrupt(flipped, draws, MODELS_GENESIS)
    expected = (method.restoration(method.backbone(corrupted).local) - flipped).square().mean()
    loss = method.training_step(volumes, Draws.keyed("genesis", samples=range(4)))["loss"]
    torch.testing.assert_close(loss, expected)
    assert not torch.equal(flipped, volumes)


def test_its_corruption_is_that_of_its_own_code_and_not_gvsls() -> None:
    """Probabilities of the published code: shuffling, intensity, inversion, painting, share that is in-painted."""
    chances = [
        (s.shuffling_probability, s.intensity_probability, s.inversion_probability, s.painting_probability,
         s.in_painting_share)
        for s in (MODELS_GENESIS, GVSL)
    ]  # fmt: skip
    assert chances == [(0.5, 0.9, 0.5, 0.9, 0.2), (0.8, 0.9, 0.0, 1.0, 1.0)]
