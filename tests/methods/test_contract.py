"""What every registered method owes the harness."""

from __future__ import annotations

import copy

import pytest
import torch

from ssl_bench.backbone import DECODER_MODULES, UNet3D
from ssl_bench.data import Corpus
from ssl_bench.draws import Draws
from ssl_bench.registry import METHODS

from .conftest import PRETRAINING, prepared

every_method = pytest.mark.parametrize("name", PRETRAINING)


@every_method
def test_a_gradient_reaches_every_trainable_parameter(name: str, corpus: Corpus) -> None:
    method, volumes, draws = prepared(name, corpus, 8)
    method.training_step(volumes, draws)["loss"].backward()
    encoder_only = METHODS.load(name).facts.pretrains == "encoder"
    for key, parameter in method.named_parameters():
        unused = encoder_only and key.startswith(tuple(f"backbone.{module}" for module in DECODER_MODULES))
        reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        assert reached != unused, key


@every_method
def test_a_few_updates_lower_the_loss_on_one_batch(name: str, corpus: Corpus) -> None:
    method, volumes, _ = prepared(name, corpus, 8)
    optimiser = torch.optim.Adam(method.optimised_parameters(), lr=1e-3)
    losses = []
    for step in range(16):
        loss = method.training_step(volumes, Draws.keyed("one", samples=range(8)))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        method.after_step(step, 16)
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@every_method
@pytest.mark.parametrize("extra", [0, 1, 3])
def test_any_batch_from_the_smallest_gives_a_finite_scalar_loss(name: str, extra: int, corpus: Corpus) -> None:
    batch = METHODS.load(name).facts.smallest_batch + extra
    method, volumes, draws = prepared(name, corpus, batch)
    loss = method.training_step(volumes, draws)["loss"]
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert loss.isfinite()


@every_method
def test_the_same_draws_give_the_same_bits_and_others_do_not(name: str, corpus: Corpus) -> None:
    method, volumes, _ = prepared(name, corpus, 8)
    first, second, other = (
        copy.deepcopy(method).training_step(volumes, Draws.keyed(key, samples=range(8)))["loss"] for key in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@every_method
def test_global_random_state_is_left_alone(name: str, corpus: Corpus) -> None:
    before = torch.get_rng_state()
    method, volumes, draws = prepared(name, corpus, 8)
    method.training_step(volumes, draws)["loss"].backward()
    assert torch.equal(before, torch.get_rng_state())


@every_method
def test_autocast_keeps_the_loss(name: str, corpus: Corpus) -> None:
    method, volumes, draws = prepared(name, corpus, 8)
    exact = copy.deepcopy(method).training_step(volumes, draws)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = method.training_step(volumes, Draws.keyed("test", samples=range(8)))["loss"]
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.05, rtol=0.05)


@every_method
def test_the_backbone_keeps_its_keys(name: str, corpus: Corpus) -> None:
    method, volumes, draws = prepared(name, corpus, 8)
    method.training_step(volumes, draws)
    assert method.backbone.state_dict().keys() == UNet3D(8).state_dict().keys()


@every_method
def test_a_batch_is_of_different_volumes_at_places_in_range(name: str, corpus: Corpus) -> None:
    import numpy as np

    method, _, _ = prepared(name, corpus, 8)
    windows = method.choose_windows(16, 8, np.random.default_rng(3))
    assert windows.volumes.shape == (8,)
    assert windows.positions.shape == (8, 3)
    assert windows.positions.min() >= 0
    assert windows.positions.max() <= 1
    if method.refresh_every is None:
        assert len(set(windows.volumes.tolist())) == 8


def test_scratch_has_no_pretext() -> None:
    from .conftest import build

    with pytest.raises(TypeError):
        build("scratch").training_step(torch.rand(1, 1, 16, 16, 16), Draws.keyed(0, samples=[0]))
