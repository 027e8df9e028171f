"""One scan in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan on a grid: its file's own, or the canonical one, whose axes run to superior, anterior and right."""

    voxels: NDArray[Any]
    """(D, H, W) on the canonical grid, where whole numbers stay whole and anything else is float32. On a file's own
    grid the axis that varies fastest in the file is the last."""
    affine: NDArray[np.float64]
    """(4, 4): voxel index (d, h, w, 1) to (superior, anterior, right, 1) in mm."""

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
