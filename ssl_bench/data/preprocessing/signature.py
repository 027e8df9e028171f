"""What a scan looks like from afar: enough to recognise it under another name, format, offset or orientation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCKS = 8
"""Along each axis."""
_DIGITS = 5


@dataclass(frozen=True, eq=False)
class Signature:
    """A scan's shape and its means over 8 x 8 x 8 blocks."""

    shape: tuple[int, ...]
    """Voxels along the three axes, ascending, since orientations differ between formats."""
    blocks: NDArray[np.float32]
    """(8, 8, 8) in [0, 1]: means of the scan scaled to minimum 0 and maximum 1, in the scan's own order of axes."""

    def to_json(self) -> dict[str, Any]:
        """The signature as plain lists, rounded to 5 digits."""
        blocks = [round(float(value), _DIGITS) for value in self.blocks.ravel()]
        return {"shape": list(self.shape), "blocks": blocks}

    @classmethod
    def of(cls, values: Any) -> Signature:
        """A signature as it is, or from what `to_json` gives. Raises ValueError for anything else."""
        if isinstance(values, cls):
            return values
        try:
            blocks = np.array(values["blocks"], np.float32).reshape(BLOCKS, BLOCKS, BLOCKS)
            return cls(tuple(values["shape"]), blocks)
        except (TypeError, LookupError) as error:
            raise ValueError(f"no signature: {error}") from error


def signature(voxels: NDArray[Any]) -> Signature:
    """The signature of a scan (D, H, W), before anything is cropped or resampled; all zero for a constant one.

    Blocks overlap by a voxel where 8 does not divide the axis, so that a mirrored scan has mirrored blocks. No copy of
    the scan is made.
    """
    low, high = float(voxels.min()), float(voxels.max())
    parts = [[slice(i * n // BLOCKS, -(-(i + 1) * n // BLOCKS)) for i in range(BLOCKS)] for n in voxels.shape]
    means = np.array([voxels[block].mean(dtype=np.float64) for block in product(*parts)])
    scaled = (means - low) / ((high - low) or 1.0)
    return Signature(
        shape=tuple(sorted(voxels.shape)),
        blocks=scaled.round(_DIGITS).astype(np.float32).reshape(BLOCKS, BLOCKS, BLOCKS),
    )
