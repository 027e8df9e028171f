from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import map_coordinates
from torch import Tensor

from ssl_bench.nn.cpu.trilinear import sample_channels

SIZE = (5, 7, 4)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def positions(batch: int, *size: int) -> Tensor:
    """All over a volume of SIZE and two voxels beyond it on every side."""
    generator = torch.Generator().manual_seed(1)
    unit = torch.rand((batch, 3, *size), generator=generator, dtype=torch.float64)
    return unit * torch.tensor([n + 3 for n in SIZE]).view(3, 1, 1, 1) - 2


@pytest.mark.parametrize("channels", [8, 9, 33])
def test_float32_is_what_float64_gives(channels: int) -> None:
    """Value and gradients: PyTorch sums rows of float32 by another kernel than those of float64."""
    volume, position = normal(2, channels, *SIZE), positions(2, 6, 3, 8)
    upstream = normal(2, channels, 6, 3, 8, seed=2)

    def results(dtype: torch.dtype) -> list[Tensor]:
        inputs = [each.to(dtype).requires_grad_() for each in (volume, position)]
        sampled = sample_channels(*inputs)
        return [sampled, *torch.autograd.grad(sampled, inputs, upstream.to(dtype))]

    for found, expected in zip(results(torch.float32), results(torch.float64), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=2e-5)


def test_there_is_no_second_derivative() -> None:
    position = positions(1, 1, 1, 2).requires_grad_()
    sampled = sample_channels(normal(1, 8, *SIZE), position)
    (gradient,) = torch.autograd.grad(sampled.square().sum(), position, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_every_channel_is_interpolated_with_zeros_outside(layout: torch.memory_format) -> None:
    volume, position = normal(2, 9, *SIZE).contiguous(memory_format=layout), positions(2, 6, 3, 8)
    sampled = sample_channels(volume, position)
    assert sampled.is_contiguous(memory_format=torch.channels_last_3d)
    for case, channel in np.ndindex(2, 9):
        expected = map_coordinates(
            np.pad(volume[case, channel], 1), position[case].numpy() + 1, order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(sampled[case, channel], expected, atol=1e-12)


def test_the_gradients_are_those_of_finite_differences() -> None:
    volume, position = normal(2, 3, *SIZE).requires_grad_(), positions(2, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(sample_channels, (volume, position))


def test_on_voxels_and_at_the_border_the_gradients_are_those_of_pytorch() -> None:
    """Where the interpolation has a kink, finite differences say nothing."""
    # Sizes for which the way to PyTorch's grid and back is exact.
    size = (5, 3, 9)
    axes = [torch.arange(-3, n + 3, dtype=torch.float64) for n in size]
    position = torch.stack(torch.meshgrid(*axes, indexing="ij")).unsqueeze(0).requires_grad_()
    volume, upstream = normal(1, 8, *size).requires_grad_(), normal(1, 8, *position.shape[2:], seed=2)
    last = torch.tensor([n - 1 for n in size], dtype=torch.float64).view(1, 3, 1, 1, 1)
    expected = F.grid_sample(volume, (position / last * 2 - 1).flip(1).movedim(1, -1), align_corners=True)
    found = sample_channels(volume, position)
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad(sampled, (volume, position), upstream) for sampled in (found, expected))
    for of_found, of_expected in zip(*gradients, strict=True):
        torch.testing.assert_close(of_found, of_expected)


def test_one_gradient_alone_is_the_same() -> None:
    volume, position, upstream = normal(1, 8, *SIZE), positions(1, 3, 3, 3), normal(1, 8, 3, 3, 3)
    both = (volume.clone().requires_grad_(), position.clone().requires_grad_())
    expected = torch.autograd.grad(sample_channels(*both), both, upstream)
    (of_volume,) = torch.autograd.grad(sample_channels(both[0], position), both[0], upstream)
    (of_position,) = torch.autograd.grad(sample_channels(volume, both[1]), both[1], upstream)
    assert torch.equal(of_volume, expected[0])
    assert torch.equal(of_position, expected[1])


def test_positions_that_are_far_or_not_numbers_harm_nothing_else() -> None:
    volume, position = normal(1, 8, *SIZE), positions(1, 1, 1, 6)
    expected = sample_channels(volume, position)
    position[0, 0, 0, 0, :4] = torch.tensor([1e30, -torch.inf, torch.inf, torch.nan], dtype=torch.float64)
    found = sample_channels(volume, position)
    assert not found[..., :3].any()
    assert found[..., 3].isnan().all()
    assert torch.equal(found[..., 4:], expected[..., 4:])
