"""Nearest neighbours by cosine, and their votes (Wu et al., CVPR 2018, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 512
"""Queries at once: their products with a bank stay in a processor's cache, which is several times faster."""


class Bank(NamedTuple):
    """Unit vectors with labels."""

    vectors: Tensor
    """(channels, M)."""
    labels: Tensor
    """(M,), int64."""


class Neighbours(NamedTuple):
    """The nearest in one bank of N queries, the most similar first."""

    cosine: Tensor
    """(N, k)."""
    labels: Tensor
    """(N, k)."""


def nearest_in(bank: Bank, queries: Tensor, count: int) -> Neighbours:
    """The `count` nearest of `bank`, or all that it has, to unit vectors `queries` (N, channels)."""
    # One buffer for all products: fresh memory takes longer to get than to fill.
    products = torch.empty(CHUNK, len(bank.labels))
    parts = [
        torch.mm(some, bank.vectors, out=products[: len(some)]).topk(min(count, len(bank.labels)), dim=1)
        for some in torch.split(queries.contiguous(), CHUNK)
    ]
    cosine, places = torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])
    return Neighbours(cosine, bank.labels[places])


def most_voted(found: Sequence[Neighbours], count: int, temperature: float) -> Tensor:
    """(N,), int32: of the `count` nearest of several banks the label with most votes; the smaller of equal ones."""
    nearest = torch.cat([one.cosine for one in found], 1).topk(min(count, sum(one.cosine.shape[1] for one in found)), 1)
    labels = torch.cat([one.labels for one in found], 1).gather(1, nearest.indices)
    # Against the nearest, so that nothing overflows.
    votes = ((nearest.values - nearest.values[:, :1]) / temperature).exp()
    # A label's votes stand at each of its places; a sum over pairs of so few is faster than a table of all labels.
    total = (votes[:, None, :] * (labels[:, :, None] == labels[:, None, :])).sum(2)
    best = total.amax(1, keepdim=True)
    return labels.masked_fill(total < best - 1e-6, torch.iinfo(torch.int64).max).amin(1).int()
