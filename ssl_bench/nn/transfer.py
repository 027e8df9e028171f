"""Numbers on their way to a device and back, without waiting.

A copy that PyTorch makes by default first waits for all that the GPU was asked to compute. Those below only take their
turn: while the GPU computes one step, the processor reads, sends and asks for the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def constant(values: Sequence[float], like: Tensor | torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A few `values` as a tensor on the device `like`, or on that of the tensor `like`."""
    return _sent(torch.tensor(values, dtype=dtype), like.device if isinstance(like, Tensor) else like)


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`, to a GPU by way of memory that it can read beside its work."""
    leaves_the_host = device.type == "cuda" and tensor.device.type == "cpu"
    return _sent(tensor.pin_memory() if leaves_the_host else tensor, device)


class Arriving:
    """A number on its way from a device. Only `read` waits, until what it depends on has been computed."""

    def __init__(self, number: Tensor) -> None:
        on_gpu = number.device.type == "cuda"
        self._number = number.detach().to("cpu", non_blocking=on_gpu)
        self._arrival = torch.cuda.current_stream(number.device).record_event() if on_gpu else None

    def read(self) -> float:
        """Wait for the number to arrive and return it."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return float(self._number)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    # Only CUDA keeps such copies in order with what is computed from them.
    return tensor.to(device, non_blocking=device.type == "cuda")
