"""A grid and windows sized by a data set: what a preset leaves to the data, decided by the shapes of prepared cases."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ssl_bench.api.settings import Sizing

SPACINGS_MM = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Coarser grids that may be chosen: few, so that a corpus and a task of one kind of scan get the same."""
_STEP = 16
"""Windows are a multiple of it, which every backbone halves without a rest."""

Shape = tuple[int, int, int]


def median_shape(shapes: Collection[Shape]) -> Shape:
    """The median of `shapes` (D, H, W) along each axis, rounded down."""
    depth, height, width = np.median(list(shapes), axis=0).astype(int).tolist()
    return depth, height, width


def spacing_for(shape: Shape, spacing_mm: float, sizing: Sizing) -> float:
    """The finest spacing, from `spacing_mm` on, at which a case of `shape` at that one has at most `sizing.voxels`."""
    candidates = [spacing_mm, *(coarser for coarser in SPACINGS_MM if coarser > spacing_mm)]
    voxels = float(np.prod(shape))
    fitting = (found for found in candidates if voxels * (spacing_mm / found) ** 3 <= sizing.voxels)
    return next(fitting, candidates[-1])


def window_for(shape: Shape, most: int) -> int:
    """The side of the smallest window that covers the shortest side of `shape`; at most `most`."""
    return min(most, -(-min(shape) // _STEP) * _STEP)
