"""Pairs of cases, points of their structures, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.cases import IGNORED, Case
from ssl_bench.api.measurement import KnownPartners, Measured
from ssl_bench.api.rng import numpy_generator
from ssl_bench.errors import UserError


def pairs_of(count: int, partners: int) -> list[tuple[int, int]]:
    """Each of `count` cases with the `partners` that follow it, the first after the last; no pair twice, nor turned.

    Raises UserError for a single case.
    """
    if count < 2:
        raise UserError("a pair needs two test cases; give the task more")
    reach = max(1, min(partners, (count - 1) // 2))
    pairs = [(at, (at + step) % count) for at in range(count) for step in range(1, reach + 1)]
    # Two cases are one pair.
    return pairs[: count * (count - 1) // 2]


def row_of(source: Case, target: Case) -> dict[str, Any]:
    """What the record's row of a pair begins with: its name, and both subjects."""
    one, other = source.identifier, target.identifier
    return {"case": f"{one}:{other}", "subject": one, "partner": other}


def known_partners(data: Measured) -> KnownPartners:
    """Raise UserError where nobody knows them."""
    truth = data.truth()
    if truth is None:
        raise UserError(
            f"{data.facts.title}: nobody knows which voxels of two of its cases show the same; use an embedded cohort"
        )
    return truth


def voxels_of(size: tuple[int, int, int]) -> Tensor:
    """(D * H * W, 3): every voxel of a volume (D, H, W), in order."""
    return torch.from_numpy(np.indices(size).reshape(3, -1).T.copy())


def spread_over(places: Tensor, fixed: Case, moving: Case) -> Tensor:
    """(N, 3): places on the grid of `fixed`, spread over `moving`, in voxels of `moving`."""
    ratio = torch.tensor(moving.size) / torch.tensor(fixed.size)
    return (places + 0.5) * ratio - 0.5


def known_labels(case: Case) -> Tensor:
    """(D, H, W), int32: the labels of `case`, background where they are to be ignored."""
    labels = np.asarray(case.label).astype(np.int32)
    return torch.from_numpy(np.where(labels == IGNORED, 0, labels).astype(np.int32))


def points_in(case: Case, count: int, structures: int) -> tuple[Tensor, NDArray[np.int64]]:
    """(N, 3) voxels of `case`, about `count` in all and as many of each structure as it has, and their classes (N,).

    They are drawn by the case's name alone, so that every row meets the same.
    """
    labels = np.asarray(case.label).astype(np.int64)
    generator = numpy_generator("points of structures", case.identifier)
    share = max(1, count // structures)
    drawn = []
    for structure in np.unique(labels[(labels > 0) & (labels != IGNORED)]):
        places = np.flatnonzero(labels == structure)
        drawn.append(generator.permutation(places)[:share])
    chosen = np.concatenate([np.empty(0, np.int64), *drawn])
    voxels = np.stack(np.unravel_index(chosen, labels.shape), axis=1)
    return torch.from_numpy(voxels), labels.ravel()[chosen]
