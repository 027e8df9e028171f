"""One scan on the canonical grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan whose axes run to superior, anterior and right, whatever its file's orientation was."""

    voxels: NDArray[Any]
    """(D, H, W); whole numbers stay whole numbers, anything else is float32."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W)."""
    affine: NDArray[np.float64]
    """(4, 4): voxel index (d, h, w, 1) to (superior, anterior, right, 1) in mm."""
