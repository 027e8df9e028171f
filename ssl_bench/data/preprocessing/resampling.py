"""From the scanner's voxels to isotropic ones, over the same physical box.

Images are interpolated linearly and labels take the nearest voxel. There is no smoothing before voxels grow coarser:
the paper names linear interpolation alone, and at its 0.3 to 0.6 mm in the plane two neighbours are most of a voxel of
1 mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Triple = tuple[float, float, float]
Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]

_ROUNDING = 6
"""Digits of a voxel to which faces are compared: 2.9999999 is 3."""


@dataclass(frozen=True)
class Grid:
    """The voxels after resampling, centred on the scan's own box and covering it to half a voxel."""

    shape: Shape
    """(D, H, W) of the whole scan after resampling."""
    spacing_mm: Triple
    """(D, H, W)."""
    step: Triple
    """Voxels of the scan per voxel of the grid."""
    first: Triple
    """Where the grid's voxel 0 lies, in voxels of the scan."""

    @classmethod
    def over(cls, shape: tuple[int, ...], spacing_mm: Triple, target_mm: float | None) -> Grid:
        """The grid of isotropic `target_mm` over a scan (D, H, W), or the scan's own grid for None."""
        target = spacing_mm if target_mm is None else (target_mm, target_mm, target_mm)
        step = [new / old for new, old in zip(target, spacing_mm, strict=True)]
        count = [max(1, round(n / s)) for n, s in zip(shape, step, strict=True)]
        first = [(n - 1) / 2 - (m - 1) / 2 * s for n, m, s in zip(shape, count, step, strict=True)]
        return cls(_three(count), target, _three(step), _three(first))

    def whole(self) -> Box:
        """All of it."""
        return _three([slice(0, n) for n in self.shape])

    def around(self, mask: NDArray[Any], margin_mm: float) -> Box:
        """The box of what is not 0 in `mask`, on the scan's voxels (D, H, W), and `margin_mm` around it."""
        box = []
        for axis in range(3):
            inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
            margin = margin_mm / self.spacing_mm[axis]
            low = round(self._face(axis, int(inside[0])) - margin, _ROUNDING)
            high = round(self._face(axis, int(inside[-1]) + 1) + margin, _ROUNDING)
            box.append(slice(max(0, floor(low)), min(self.shape[axis], ceil(high))))
        return _three(box)

    def centre(self, size: Shape) -> Box:
        """The middle `size` (D, H, W), or less where the grid is smaller."""
        starts = [max(0, (n - wanted) // 2) for n, wanted in zip(self.shape, size, strict=True)]
        return _three([slice(a, min(a + m, n)) for a, m, n in zip(starts, size, self.shape, strict=True)])

    def read(self, voxels: NDArray[Any], box: Box, how: Literal["linear", "nearest"]) -> NDArray[Any]:
        """The scan `voxels` (D, H, W) at the grid's voxels in `box`; float32 if linear, else of the scan's type.

        Beyond the outermost centres the outermost voxel goes on. Nothing outside the box is converted or copied.
        """
        dtype = np.dtype(np.float32) if how == "linear" else voxels.dtype
        if self.step == (1.0, 1.0, 1.0):
            return np.array(voxels[box], dtype, order="C")
        found = np.empty([part.stop - part.start for part in box], dtype)
        offset = [first + part.start * step for first, part, step in zip(self.first, box, self.step, strict=True)]
        order = 1 if how == "linear" else 0
        ndimage.affine_transform(voxels, np.array(self.step), offset, output=found, order=order, mode="nearest")
        return found

    def _face(self, axis: int, index: int) -> float:
        """The lower face of the scan's voxel `index`, in voxels of the grid counted from its own lower face."""
        return (index - 0.5 - self.first[axis]) / self.step[axis] + 0.5


def _three(values: list[Any]) -> tuple[Any, Any, Any]:
    first, second, third = values
    return first, second, third
