"""InfoNCE against other volumes (SimCLR, ICML 2020; MoCo, CVPR 2020), and the queue that keeps earlier keys."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NO_VOLUME = -1
"""Whose the key is in a slot that nothing has filled yet; it is no negative."""


class KeyQueue(nn.Module):
    """The keys of the last batches, newest first, and of which volume of the corpus each is; checkpoints keep both."""

    keys: Tensor
    """(size, channels), float32, of unit length where there is one."""
    volumes: Tensor
    """(size,), indices into the corpus or `NO_VOLUME`."""

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, channels))
        self.register_buffer("volumes", torch.full((size,), NO_VOLUME))

    def behind(self, keys: Tensor, volumes: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """`keys` (B, channels) of `volumes` (B,) and behind them those in the queue, at most so many in all."""
        most = min(most, len(self.keys))
        return torch.cat([keys, self.keys])[:most], torch.cat([volumes, self.volumes])[:most]

    @torch.no_grad()
    def add(self, keys: Tensor, volumes: Tensor) -> None:
        """Put `keys` (B, channels) of `volumes` (B,) in front; as many of the oldest leave."""
        newest = self.behind(keys, volumes, len(self.keys))
        for buffer, values in zip((self.keys, self.volumes), newest, strict=True):
            buffer.copy_(values)


def info_nce(
    queries: Tensor, positives: Tensor, volumes: Tensor, negatives: Tensor, their_volumes: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy of each query's positive against the negatives of other volumes (MoCo, Eq. 1); their mean.

    `queries` and `positives` (N, C) of unit length, row by row of `volumes` (N,); `negatives` (M, C) of
    `their_volumes` (M,), of which those of the query's own volume do not count. In float32 under any autocast.
    """
    with torch.autocast(queries.device.type, enabled=False):
        alike = (queries * positives).sum(dim=1, keepdim=True)
        unlike = queries @ negatives.T
        no_negative = (volumes.unsqueeze(1) == their_volumes) | (their_volumes == NO_VOLUME)
        logits = torch.cat([alike, unlike.masked_fill(no_negative, -torch.inf)], dim=1) / temperature
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of each view's partner against both views of other volumes (SimCLR, Eq. 1); their mean.

    `first` and `second` (B, C) are of unit length. In float32 under any autocast, which lightly's is not.
    """
    views, partners = torch.cat([first, second]), torch.cat([second, first])
    volumes = torch.arange(len(first), device=first.device).repeat(2)
    return info_nce(views, partners, volumes, views, volumes, temperature)
