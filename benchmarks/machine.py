"""What the machine itself can do, and what a step of the backbone asks of it at least."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.stepping import Precision
from benchmarks.timing import Options
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.spec.specification import PretrainingSpec

OPTIMISER_PASSES = 7
"""Adam reads weights, gradients and two moments, and writes weights and moments."""


class Demand(NamedTuple):
    """Of one forward, backward and update."""

    operations: float
    """Multiplications and additions of convolutions and of upsampling."""
    traffic: float
    """Bytes that layers run one by one read and write, if caches keep nothing from one to the next."""


def demand(spec: PretrainingSpec) -> Demand:
    """What the plain backbone's step on a batch of `spec` asks for; nothing is computed."""
    elements = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal elements
        # Forward: input in, result out. Backward: both once more and the input's gradient out.
        elements += 3 * sum(tensor.numel() for tensor in inputs) + 2 * out.numel()

    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        backbone, volumes = UNet3D(spec.width), torch.empty(spec.batch, 1, *[spec.crop] * 3)
        for module in backbone.modules():
            if not list(module.children()):
                module.register_forward_hook(count)
        backbone(volumes).local.sum().backward()
    weights = sum(parameter.numel() for parameter in backbone.parameters())
    size = 2 if spec.precision == "bf16" else 4
    return Demand(float(counter.get_total_flops()), float(elements * size + OPTIMISER_PASSES * 4 * weights))


def matrix_product(options: Options, precision: Precision) -> tuple[Callable[[], object], float]:
    """A product of square matrices, and its operations."""
    side = 256 if options.quick else 4096
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.rand(side, side, device=options.device).to(dtype) for _ in range(2))
    return lambda: left @ right, 2.0 * side**3


def memory_copy(options: Options) -> tuple[Callable[[], object], float]:
    """A copy between arrays larger than any cache, and the bytes it reads and writes."""
    source = torch.rand(2**16 if options.quick else 2**27, device=options.device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2.0 * source.numel() * source.element_size()
