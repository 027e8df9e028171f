from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws

Transform = Callable[[Tensor, Draws], Tensor]


def streams(samples: int | Sequence[int] = 2, key: str = "test") -> Draws:
    return Draws.keyed(key, samples=range(samples) if isinstance(samples, int) else samples)


def volumes(batch: int, *size: int, channels: int = 1) -> Tensor:
    """Distinct intensities in [0, 1]."""
    shape = (batch, channels, *size)
    order = torch.randperm(torch.Size(shape).numel(), generator=torch.Generator().manual_seed(3))
    return (order / len(order)).view(shape)


def assert_contract(transform: Transform, size: tuple[int, int, int]) -> None:
    """Range, shape and dtype are kept; a sample's result depends on its own stream alone, not on any global state."""
    given = volumes(3, *size)
    untouched = given.clone()
    state = torch.get_rng_state()
    together = transform(given, streams(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(given, untouched)
    assert together.dtype == given.dtype
    assert not together.isnan().any()
    assert together.min() >= 0
    assert together.max() <= 1
    for order in ([2], [1, 0]):
        apart = transform(given[order], streams(order))
        torch.testing.assert_close(apart, together[order], atol=1e-6, rtol=0)
    assert not torch.equal(transform(given, streams(3, key="other")), together)
