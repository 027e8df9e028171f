"""Turning volumes round is PyTorch's own copy to the bit, both ways, and lies as it is said to."""

from __future__ import annotations

import pytest
import torch

from ssl_bench.nn.cpu.layout import channels_first


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 58, 6, 5, 4), (3, 16, 6, 5, 4), (1, 70, 1, 1, 60)])
def test_values_and_gradients_are_those_of_a_copy(shape: tuple[int, ...], precision: torch.dtype) -> None:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(precision)
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(precision)
    volumes = drawn.to(memory_format=torch.channels_last_3d).requires_grad_()
    turned = channels_first(volumes)
    assert turned.is_contiguous()
    assert torch.equal(turned, drawn)
    (gradient,) = torch.autograd.grad(turned, volumes, upstream)
    assert gradient.dtype == precision
    assert torch.equal(gradient, upstream)
    assert gradient.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_gradient_that_lies_otherwise_is_turned_too() -> None:
    volumes = torch.randn(2, 20, 4, 5, 6).to(memory_format=torch.channels_last_3d).requires_grad_()
    weights = torch.randn(2, 4, 5, 6, 20).movedim(-1, 1)
    (gradient,) = torch.autograd.grad((channels_first(volumes) * weights).sum(), volumes)
    assert torch.equal(gradient, weights)


@pytest.mark.parametrize("volumes", [
    torch.zeros(2, 20, 4, 5, 6), torch.zeros(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d)
])  # fmt: skip
def test_what_gains_nothing_is_not_copied(volumes: torch.Tensor) -> None:
    assert channels_first(volumes) is volumes
