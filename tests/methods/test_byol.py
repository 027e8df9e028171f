"""BYOL's target network: where it starts, how it moves, and that nothing else moves it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssl_bench.api.rng import Draws
from ssl_bench.api.settings import load_preset, preset_names
from ssl_bench.data.windows import Corpus
from ssl_bench.methods.byol import BYOL
from ssl_bench.nn.momentum import first_momentum
from ssl_bench.transforms.views import two_views, view_size

from .conftest import build, prepared


def byol(**options: object) -> BYOL:
    method = build("byol", **options)
    assert isinstance(method, BYOL)
    return method


def online_of(method: BYOL) -> dict[str, torch.nn.Parameter]:
    """For each parameter of the target network, by name, the online one that it follows."""
    parameters = dict(method.named_parameters())
    names = {"target_encoder": "backbone", "target_projection": "projection"}
    return {
        name: parameters[".".join([names[name.partition(".")[0]], name.partition(".")[2]])]
        for name in parameters
        if name.startswith("target")
    }


def test_the_target_starts_as_the_online_network_without_its_decoder() -> None:
    method = byol()
    parameters = dict(method.named_parameters())
    online = online_of(method)
    encoder = [
        p for name, p in method.backbone.named_parameters() if not name.startswith(method.backbone.decoder_modules)
    ]
    assert {id(p) for p in online.values()} == {id(p) for p in [*encoder, *method.projection.parameters()]}
    assert all(torch.equal(parameters[name], p) and parameters[name] is not p for name, p in online.items())


@pytest.mark.parametrize(("step", "steps", "start"), [(0, 11, 0.996), (4, 11, 0.996), (9, 11, 0.9), (10, 11, 0.9)])
def test_the_target_moves_by_the_cosine_momentum_towards_the_online_network(
    step: int, steps: int, start: float
) -> None:
    method = byol(momentum=start, start_left=1)
    with torch.no_grad():
        for parameter in method.optimised_parameters():
            parameter.add_(torch.rand(parameter.shape, generator=torch.Generator().manual_seed(2)))
    online = {name: p.detach().clone() for name, p in online_of(method).items()}
    before = {name: method.state_dict()[name].clone() for name in online}
    method.after_step(step, steps)
    momentum = 1 - (1 - start) * (math.cos(math.pi * step / (steps - 1)) + 1) / 2
    for name, value in online.items():
        torch.testing.assert_close(method.state_dict()[name], momentum * before[name] + (1 - momentum) * value)
        assert torch.equal(method.state_dict()[name], before[name]) == (step == steps - 1), name
        assert torch.equal(online_of(method)[name], value)


def test_momentum_rises_from_the_papers_0996_to_1(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr("lightly.models.utils.update_momentum", lambda model, ema, m: seen.append(m))
    method = byol(start_left=1)
    for step in range(5):
        method.after_step(step, 5)
    modules = len(method.backbone.encoder_modules) + 1
    assert seen[::modules] == pytest.approx([0.996, 0.9965857864, 0.998, 0.9994142136, 1.0], abs=1e-9)


@pytest.mark.parametrize("steps", [2, *(load_preset(name).pretraining.steps for name in preset_names())])
def test_less_than_a_hundredth_of_the_targets_start_is_left_at_the_end(steps: int) -> None:
    method = byol()
    for parameter in (*method.target_encoder.parameters(), *method.target_projection.parameters()):
        parameter.data.fill_(1)
    for parameter in (*method.backbone.parameters(), *method.projection.parameters()):
        parameter.data.fill_(0)
    if steps > 1000:  # the same recursion on one number
        start = first_momentum(steps, method.options.momentum, method.options.start_left)
        assert start == 0.996
        rises = (np.cos(np.pi * np.arange(steps) / (steps - 1)) + 1) / 2
        assert np.prod(1 - (1 - start) * rises) < 0.01
        return
    for step in range(steps):
        method.after_step(step, steps)
    left = torch.cat(
        [p.flatten() for p in (*method.target_encoder.parameters(), *method.target_projection.parameters())]
    )
    assert left.max() < 0.01


def test_the_papers_momentum_holds_from_where_it_forgets_the_start() -> None:
    assert first_momentum(2302, 0.996, 0.01) < 0.996 == first_momentum(2303, 0.996, 0.01)
    assert first_momentum(370, 0.9, 0.01) == 0.9


def test_the_target_has_no_gradient_and_no_optimiser_but_is_saved(corpus: Corpus) -> None:
    method, volumes, draws = prepared("byol", corpus, 8)
    assert isinstance(method, BYOL)
    method.training_step(volumes, draws)["loss"].backward()
    target = [*method.target_encoder.parameters(), *method.target_projection.parameters()]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in target)
    assert not {id(parameter) for parameter in target} & {id(parameter) for parameter in method.optimised_parameters()}
    assert set(online_of(method)) <= set(method.state_dict())


def test_a_checkpoint_brings_the_target_back() -> None:
    method, other = byol(), byol()
    with torch.no_grad():
        for parameter in method.target_encoder.parameters():
            parameter.mul_(1.5)
    other.load_state_dict(method.state_dict())
    first, second = (m.target(torch.ones(2, 1, 16, 16, 16)) for m in (method, other))
    assert torch.equal(first, second)


def test_the_loss_is_the_mean_negative_cosine_of_both_directions_to_the_target_network(corpus: Corpus) -> None:
    method, volumes, draws = prepared("byol", corpus, 8)
    assert isinstance(method, BYOL)
    with torch.no_grad():
        for parameter in (*method.target_encoder.parameters(), *method.target_projection.parameters()):
            parameter.add_(0.1 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(3)))
    learning = [p for name, p in method.named_parameters() if p.requires_grad and not name.startswith("backbone.up")]
    loss = method.training_step(volumes, draws)["loss"]
    views = two_views(volumes, Draws.keyed("test", samples=range(8)), view_size(method.crop, method.backbone.stride))
    online = [method.prediction(method.projection(method.backbone.encode(v).mean(dim=(2, 3, 4)))) for v in views]
    target = [method.target_projection(method.target_encoder.encode(v).mean(dim=(2, 3, 4))) for v in views]
    cosines = [F.cosine_similarity(online[i], target[1 - i].detach()).mean() for i in (0, 1)]
    expected = -(cosines[0] + cosines[1]) / 2
    assert cosines[0] != cosines[1]
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, learning), torch.autograd.grad(expected, learning), atol=1e-5, rtol=1e-3
    )


def test_the_target_follows_the_method_to_another_memory_format() -> None:
    method = byol().to(memory_format=torch.channels_last_3d)
    for encoder in (method.backbone, method.target_encoder):
        weight = encoder.down1.maxpool_conv[1].double_conv[0].weight
        assert weight.is_contiguous(memory_format=torch.channels_last_3d)
