"""What a slope and an offset in a header make of the stored numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rescaled(voxels: NDArray[Any], slope: float, offset: float) -> NDArray[Any]:
    """slope * voxels + offset as float32, or as whole numbers where whole numbers are only shifted."""
    if (slope, offset) == (1, 0):
        return voxels
    if voxels.dtype.kind in "iu" and slope == 1 and float(offset).is_integer() and abs(offset) < 2**30:
        wide = np.int32 if voxels.itemsize <= 2 else np.int64
        return np.asarray(np.add(voxels, int(offset), dtype=wide, casting="unsafe"))
    scaled = voxels.astype(np.float32)
    scaled *= np.float32(slope)
    scaled += np.float32(offset)
    return scaled
