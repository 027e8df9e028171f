from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.nn.cpu.convolution import Convolution


def leave_freed_memory_full_of_nan() -> None:
    """What reads memory that nobody wrote then finds no lucky zeros there."""
    freed = [torch.full((2**power,), torch.nan) for power in range(6, 20) for _ in range(3)]
    del freed


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=["default", "channels last"])
@pytest.mark.parametrize("size", [(1, 2, 2), (2, 2, 2), (2, 7, 3), (3, 2, 2), (4, 4, 4)], ids=str)
def test_in_bf16_output_and_gradients_are_those_of_float64(
    size: tuple[int, int, int], layout: torch.memory_format
) -> None:
    """On processors with AVX-512 and without AMX PyTorch's own layer fails this at two slices."""
    torch.manual_seed(0)
    layer = Convolution(24, 40)
    volumes, upstream = torch.randn(2, 24, *size).bfloat16(), torch.randn(2, 40, *size).bfloat16()

    def results(given: Tensor, out: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
        return [out, *torch.autograd.grad(out, [given, weight, bias], upstream.to(out.dtype))]

    exact = [each.detach().double().requires_grad_() for each in (volumes, layer.weight.bfloat16(), layer.bias)]
    expected = results(exact[0], F.conv3d(*exact, padding=1), *exact[1:])
    layer.to(memory_format=layout)
    for _ in range(3):
        leave_freed_memory_full_of_nan()
        given = volumes.to(memory_format=layout).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(given)
        for found, wanted in zip(results(given, out, layer.weight, layer.bias), expected, strict=True):
            torch.testing.assert_close(found.double(), wanted, rtol=0.01, atol=0.01 * float(wanted.abs().max()))
