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
