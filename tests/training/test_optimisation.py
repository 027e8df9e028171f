from __future__ import annotations

import copy

import pytest
import torch

from ssl_bench.api.settings import OptimiserSettings
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.training.optimisation import build_optimiser

ADAM = OptimiserSettings(name="adam", learning_rate=0.01, schedule="constant", warmup_steps=0, gradient_clip=0.0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_the_fused_update_pairs_every_weight_with_its_own_gradient(layout: torch.memory_format) -> None:
    """PyTorch's fused kernel goes through memory: of a gradient in another layout it would take the wrong numbers."""
    torch.manual_seed(0)
    network = UNet3D(8).to(memory_format=layout)
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    fused = build_optimiser(network.parameters(), ADAM)
    reference = torch.optim.Adam(plain.parameters(), lr=ADAM.learning_rate, foreach=False, fused=False)
    for _ in range(3):
        fused.zero_grad()
        network(torch.rand(1, 1, 16, 16, 16)).local.square().mean().backward()
        for weight, other in zip(network.parameters(), plain.parameters(), strict=True):
            assert weight.grad is not None
            other.grad = weight.grad.clone(memory_format=torch.contiguous_format)
        fused.step()
        reference.step()
    for weight, other in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(weight, other, atol=1e-5, rtol=1e-4)


def one_step(settings: OptimiserSettings) -> tuple[float, float]:
    """A weight and a bias, both 2, after one update with gradients of 0.5."""
    kernel, bias = torch.nn.Parameter(torch.full((1, 1), 2.0)), torch.nn.Parameter(torch.full((1,), 2.0))
    optimiser = build_optimiser([kernel, bias], settings)
    for parameter in (kernel, bias):
        parameter.grad = torch.full_like(parameter, 0.5)
    optimiser.step()
    return kernel.item(), bias.item()


def test_adamw_decays_weights_and_no_biases() -> None:
    """Loshchilov and Hutter, Algorithm 2: in the first step both corrected moments are the gradient's, so it moves by
    the learning rate; the decay takes rate x decay of the weight."""
    settings = ADAM.model_copy(update={"name": "adamw", "weight_decay": 0.3})
    step = 0.01 * 0.5 / (0.5 + 1e-8)
    assert one_step(settings) == pytest.approx((2 * (1 - 0.01 * 0.3) - step, 2 - step), abs=1e-6)


def test_sgd_adds_the_decay_to_the_gradient() -> None:
    """With timm's Nesterov momentum of 0.9 the first step is 1.9 gradients."""
    settings = ADAM.model_copy(update={"name": "sgd", "weight_decay": 0.3})
    assert one_step(settings) == pytest.approx((2 - 0.01 * 1.9 * (0.5 + 0.3 * 2), 2 - 0.01 * 1.9 * 0.5), abs=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_without_decay_nothing_decays(name: str) -> None:
    kernel, bias = one_step(ADAM.model_copy(update={"name": name}))
    assert kernel == bias


def test_what_decays_is_what_timm_lets_decay_in_the_whole_network() -> None:
    from timm.optim import param_groups_weight_decay

    network = UNet3D(8)
    ours = build_optimiser(network.parameters(), ADAM.model_copy(update={"name": "adamw", "weight_decay": 0.1}))
    theirs = param_groups_weight_decay(network, 0.1)
    found, expected = (
        {id(one): group["weight_decay"] for group in groups for one in group["params"]}
        for groups in (ours.param_groups, theirs)
    )
    assert found == expected
    assert set(found.values()) == {0.0, 0.1}
