"""From a file's own grid to the canonical one: by flips and permutations alone, nothing is resampled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from ssl_bench.data.io.volume import FileGrid, Volume, voxels_apart
from ssl_bench.errors import UserError

# Cosine between two axes, about half a degree: rounded headers stay far below, a tilted gantry is degrees above.
_SHEAR_LIMIT = 0.01


def require_grid(path: Path, size: Sequence[int], affine: NDArray[np.float64]) -> None:
    """Refuse what is not one volume on an orthogonal grid; asked before any voxel is read.

    `size` counts the voxels along x, y, z, then frames; `affine` is (4, 4), mm. Raises UserError.
    """
    if any(frames != 1 for frames in size[3:]):
        raise UserError(
            f"{path}: holds several frames ({_times(size)}); save the one to use as a volume of its own, or "
            "channels each as CASE_0000, CASE_0001, ..."
        )
    if len(size) < 3 or min(size) < 1 or min(size[:3]) < 2:
        raise UserError(
            f"{path}: {_times(size)} voxels are no volume, every axis needs two; give the whole scan (of a DICOM "
            "series the folder)"
        )
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not lengths.all():
        raise UserError(f"{path}: its header gives no spacing for every axis; write the file again with its spacing")
    directions = affine[:3, :3] / lengths
    if abs(np.linalg.det(directions)) < 1e-6:
        raise UserError(f"{path}: its affine is singular, two axes are one; write the file again with its orientation")
    if np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR_LIMIT:
        raise UserError(
            f"{path}: its axes are not at right angles (a sheared affine or a tilted gantry); resample it to an "
            "orthogonal grid first"
        )


def canonical(path: Path, volume: Volume) -> Volume:
    """`volume` with its axes turned to the closest of superior, anterior and right; the voxels are a copy.

    Raises UserError, naming `path`, for voxels that are not finite.
    """
    orientation = io_orientation(volume.affine)
    affine = volume.affine @ inv_ornt_aff(orientation, volume.voxels.shape)
    with np.errstate(over="ignore"):
        voxels = np.array(apply_orientation(volume.voxels, orientation), compact_type(volume.voxels), order="C")
    # Minimum and maximum are NaN where any voxel is: no temporary of the volume's size.
    if not np.isfinite([voxels.min(), voxels.max()]).all():
        raise UserError(f"{path}: holds voxels that are NaN or infinite; replace them by numbers first")
    return Volume(voxels, affine, volume.notes, FileGrid(volume.voxels.shape, volume.affine), volume.value_names)


def canonical_size(grid: FileGrid) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """The shape (D, H, W) and the spacing in mm that a volume on its file's `grid` has once it is canonical."""
    order = np.argsort(io_orientation(grid.affine)[:, 0])
    depth, height, width = (grid.shape[axis] for axis in order)
    # Spacings as `Volume` has them.
    spacing = Volume(np.empty(0), grid.affine).spacing_mm
    d, h, w = (spacing[axis] for axis in order)
    return (depth, height, width), (d, h, w)


def moved(path: Path, volume: Volume, grid: FileGrid) -> Volume:
    """A volume on its file's own grid with its voxels on another file's, in the order of the file.

    Raises UserError, naming `path`, if the sizes differ.
    """
    if volume.voxels.shape != grid.shape:
        sizes = [_times(shape[::-1]) for shape in (volume.voxels.shape, grid.shape)]
        raise UserError(f"{path}: holds {sizes[0]} voxels and its image {sizes[1]}; resample the label to its image")
    apart = voxels_apart(grid.shape, grid.affine, volume.affine)
    note = f"its own header, up to {apart:.1f} voxels off, gave way to the image's"
    return Volume(volume.voxels, grid.affine, (note,), value_names=volume.value_names)


def compact_type(voxels: NDArray[Any]) -> np.dtype[Any]:
    """The type voxels are kept in: wide integers as the narrowest that holds them, fractions as float32."""
    kept = voxels.dtype.newbyteorder("=")
    if kept.kind not in "iu":
        return np.dtype(np.float32)
    if kept.itemsize <= 2:
        return kept
    low, high = int(voxels.min()), int(voxels.max())
    limits = [np.iinfo(kind) for kind in (np.int16, np.int32, np.int64)]
    return next((limit.dtype for limit in limits if limit.min <= low and high <= limit.max), kept)


def _times(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
