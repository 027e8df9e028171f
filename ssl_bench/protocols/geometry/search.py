"""The nearest vector: of every voxel, and through stages from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_bench.protocols.geometry.unit_vectors import Level

QUERIES = 64
"""Places looked for at once, which bounds memory."""


def nearest(source: Tensor, target: Tensor, points: Tensor) -> Tensor:
    """(N, 3): the voxels of `target` whose vectors are most like those of `source` at `points` (N, 3).

    Both are (channels, D, H, W) of unit vectors; of voxels that are equally like, the first counts.
    """
    queries, places = source[:, *points.T].T, target.flatten(1)
    best = torch.cat([(some @ places).argmax(1) for some in torch.split(queries, QUERIES)])
    return torch.stack(torch.unravel_index(best, target.shape[1:]), 1)


def coarse_to_fine(source: Sequence[Level], target: Sequence[Level], points: Tensor) -> Tensor:
    """(N, 3): what stages, the coarsest first, find for `points` (N, 3) of `source`, in voxels of the target's volume.

    The coarsest is searched as a whole, each finer one no farther than a voxel of the coarser one from what that found.
    """
    estimate, reach = torch.zeros(len(points), 3), torch.full((3,), torch.inf)
    for own, other in zip(source, target, strict=True):
        extent = torch.tensor(own.vectors.shape[1:])
        at = ((points - own.first) / own.step).round().long().clamp(min=torch.zeros(3).long(), max=extent - 1)
        estimate = torch.cat([
            _near(own.vectors[:, *some.T].T, other, around, reach)
            for some, around in zip(torch.split(at, QUERIES), torch.split(estimate, QUERIES), strict=True)
        ])  # fmt: skip
        reach = other.step
    return estimate


def _near(queries: Tensor, level: Level, around: Tensor, reach: Tensor) -> Tensor:
    """(N, 3): the middles of the voxels within `reach` of `around` (N, 3) most like `queries` (N, channels)."""
    size = level.vectors.shape[1:]
    likeness = (queries @ level.vectors.flatten(1)).view(-1, *size)
    for axis, length in enumerate(size):
        middles = level.first[axis] + level.step[axis] * torch.arange(length)
        far = (middles - around[:, axis, None]).abs() > reach[axis]
        # What does not reach into the volume is padding.
        far |= (middles + level.step[axis] / 2 < 0) | (middles - level.step[axis] / 2 > level.size[axis] - 1)
        shape = [len(queries), 1, 1, 1]
        shape[axis + 1] = length
        likeness = likeness.masked_fill_(far.view(shape), -torch.inf)
    best = torch.stack(torch.unravel_index(likeness.flatten(1).argmax(1), size), 1)
    return level.first + level.step * best
