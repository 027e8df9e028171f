"""What the ranks of one data-parallel pre-training share. With a single process everything here does nothing.

Each rank gets its part of a batch. A method whose volumes are judged one by one, or pair by pair, needs nothing from
here: the mean of the ranks' gradients is the whole batch's. A method that compares the volumes of a batch, or
normalises over them, gathers their pooled features: heads and loss then see the whole batch on every rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import zip_longest

import torch
import torch.distributed as dist
from torch import Tensor

_alone: ContextVar[bool] = ContextVar("alone", default=False)


def rank_count() -> int:
    """How many processes share a batch."""
    together = dist.is_available() and dist.is_initialized() and not _alone.get()
    return dist.get_world_size() if together else 1


def rank() -> int:
    """This process's place among them, from 0."""
    return dist.get_rank() if rank_count() > 1 else 0


def own_share(batch: int) -> slice:
    """Which samples of a batch this rank works on; every rank has as many."""
    share = batch // rank_count()
    return slice(rank() * share, (rank() + 1) * share)


def gathered(features: Tensor) -> Tensor:
    """Features of this rank's samples (b, ...) -> of the whole batch (B, ...), in the batch's order.

    Gradients flow back to the rank that each sample is on. Whatever comes after it is computed on every rank alike, so
    that the mean of the ranks' gradients, which data parallelism takes, is the gradient of a single process.
    """
    if rank_count() == 1:
        return features
    from lightly.utils.dist import gather

    return torch.cat(gather(features.contiguous()))


def map_over_ranks(function: Callable[[Tensor], Tensor], batches: Iterable[Tensor]) -> Tensor:
    """`function` of every one of `batches`, concatenated in their order; each is computed by one rank."""
    count = rank_count()
    own = [function(batch) for number, batch in enumerate(batches) if number % count == rank()]
    if count == 1:
        return torch.cat(own)
    found: list[list[Tensor]] = [[] for _ in range(count)]
    dist.all_gather_object(found, [features.cpu() for features in own])
    return torch.cat([features for turn in zip_longest(*found) for features in turn if features is not None])


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a scalar over the ranks, without gradient."""
    value = value.detach().clone()
    if rank_count() > 1:
        dist.all_reduce(value)
        value /= rank_count()
    return value


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this rank works as a single process would: it waits for no other."""
    before = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(before)
