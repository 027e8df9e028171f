"""One scan in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_ORIENTATION = "its header does not say which way its axes run, which was guessed: it may be mirrored or turned"
"""A note on a volume whose `affine` holds little more than its spacing."""


class FileGrid(NamedTuple):
    """Where a file's voxels lie, in the file's own order of axes."""

    shape: tuple[int, ...]
    """(K, J, I): the axis that varies fastest in the file is the last."""
    affine: NDArray[np.float64]
    """(4, 4): voxel index (k, j, i, 1) to (superior, anterior, right, 1) in mm."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan on a grid: its file's own, or the canonical one, whose axes run to superior, anterior and right."""

    voxels: NDArray[Any]
    """(D, H, W) on the canonical grid, where whole numbers stay whole and anything else is float32. On a file's own
    grid the axis that varies fastest in the file is the last."""
    affine: NDArray[np.float64]
    """(4, 4): voxel index (d, h, w, 1) to (superior, anterior, right, 1) in mm."""
    notes: tuple[str, ...] = ()
    """What is suspicious about the file, one line each."""
    file_grid: FileGrid | None = None
    """Of a canonical volume: the grid of its file, before any axis was turned."""
    value_names: Mapping[int, str] = field(default_factory=dict)
    """What the header of a label file calls its values, where it does."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Along each axis of `voxels`."""
        # Float32 headers write 0.7 as 0.69999999: rounded, so that one scan has one spacing in every format.
        depth, height, width = (round(float(length), 5) for length in np.linalg.norm(self.affine[:3, :3], axis=0))
        return depth, height, width


def superior_first(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine of a `Volume` from one that maps (i, j, k, 1) to (right, anterior, superior, 1)."""
    order = [2, 1, 0, 3]
    return affine[np.ix_(order, order)]


def voxels_apart(shape: tuple[int, ...], affine: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """How far two affines (4, 4) put a voxel of a volume (D, H, W) apart at most, in voxels of the first."""
    # The difference of two affine maps is largest at a corner.
    corners = np.array([(*corner, 1.0) for corner in np.ndindex(2, 2, 2)])
    corners[:, :3] *= np.array(shape) - 1
    return float(np.abs(corners @ (np.linalg.inv(affine) @ other).T - corners).max())
