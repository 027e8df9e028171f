from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.nn.cpu.group_norm import MANY_VOXELS, GroupNorm

DEFAULT, CHANNELS_LAST = torch.contiguous_format, torch.channels_last_3d


@pytest.mark.parametrize(
    ("dtype", "layout", "tolerance"),
    [
        (torch.float64, DEFAULT, 0),
        (torch.float64, CHANNELS_LAST, 0),
        (torch.float32, DEFAULT, 0),
        (torch.float32, CHANNELS_LAST, 0),
        (torch.bfloat16, CHANNELS_LAST, 0),
        (torch.bfloat16, DEFAULT, 0.04),  # There PyTorch rounds on the way.
    ],
)
def test_group_norm_is_pytorchs_and_so_are_its_gradients(
    dtype: torch.dtype, layout: torch.memory_format, tolerance: float
) -> None:
    precise = torch.promote_types(dtype, torch.float32)
    torch.manual_seed(0)
    layer = GroupNorm(2, 16).to(precise)
    torch.nn.init.normal_(layer.weight)
    volumes = torch.randn(2, 16, 5, 6, 7).to(dtype, memory_format=layout)
    upstream = torch.randn(2, 3, 16, 5, 6, 7).to(dtype)[:, 1]  # Of another layout, as where a concatenation ends.

    def results(normalised: Callable[[Tensor], Tensor]) -> list[Tensor]:
        given = volumes.clone().requires_grad_()
        out = normalised(given)
        return [out, *torch.autograd.grad(out, [given, layer.weight, layer.bias], upstream)]

    expected = results(lambda given: F.group_norm(given, 2, layer.weight, layer.bias, layer.eps))
    for found, wanted in zip(results(layer), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("learning", [(True, True), (False, True), (True, False)])
def test_many_voxels_in_bf16_lose_no_more_than_rounding_does(learning: tuple[bool, bool]) -> None:
    """Against float64: of each gradient what roundings to bf16 leave, of a mean far from zero too."""
    generator = torch.Generator().manual_seed(0)
    layer = GroupNorm(3, 24)
    torch.nn.init.normal_(layer.weight, generator=generator)
    shape = (2, 24, 16, 17, 18)
    assert shape[2] * shape[3] * shape[4] >= MANY_VOXELS
    channels = torch.randn(1, 24, 1, 1, 1, generator=generator)
    volumes = (torch.randn(shape, generator=generator) * 2 + 3 * channels).to(
        torch.bfloat16, memory_format=CHANNELS_LAST
    )
    # Of one sign and alike the volumes, so that no mean of the gradient is negligible.
    upstream = (torch.randn(shape, generator=generator) + 1 + 0.3 * volumes.float()).bfloat16()
    of_volumes, of_weights = learning
    for parameter in layer.parameters():
        parameter.requires_grad_(of_weights)
    given = volumes.clone().requires_grad_(of_volumes)
    asked = [each for each in (given, *layer.parameters()) if each.requires_grad]
    found = torch.autograd.grad(layer(given), asked, upstream)

    exact = [each.detach().double().requires_grad_() for each in (given, *layer.parameters())]
    out = F.group_norm(exact[0], 3, exact[1], exact[2], layer.eps)
    expected = torch.autograd.grad(out, exact, upstream.double())
    expected = tuple(expected[i] for i in range(3) if (of_volumes if i == 0 else of_weights))
    for gradient, wanted in zip(found, expected, strict=True):
        eps = torch.finfo(gradient.dtype).eps if gradient.dtype == torch.bfloat16 else 1e-4
        assert (gradient.double() - wanted).abs().max() < 1.5 * eps * wanted.abs().max()
        assert (gradient.double() - wanted).norm() < 0.5 * eps * wanted.norm()
