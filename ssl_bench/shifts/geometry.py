"""Shifts of geometry: thick slices, a smaller field of view, rotation. Arrays (..., D, H, W) keep their grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

Array = NDArray[Any]


def thick_slices(image: Array, voxels: int) -> Array:
    """Slices along D that are `voxels` thick, as means of as many, linearly interpolated back to the grid.

    The last slice is thinner where the length is no multiple; beyond the centres of the first and the last their values
    go on. What was labelled keeps its place.
    """
    length = image.shape[-3]
    number = np.arange(length) // voxels
    averaging = (number == np.arange(number[-1] + 1)[:, None]).astype(np.float64)
    averaging /= averaging.sum(1, keepdims=True)
    centres = averaging @ np.arange(length)
    back = np.stack([np.interp(np.arange(length), centres, row) for row in np.eye(len(centres))], axis=1)
    filtered = np.tensordot(back @ averaging, image.astype(np.float64), axes=([1], [image.ndim - 3]))
    return np.moveaxis(filtered, 0, -3).astype(image.dtype)


def narrowed(array: Array, share: float) -> Array:
    """The middle of each axis with that share of its voxels, zeros around it: nothing of an image, no label."""
    kept = np.zeros_like(array)
    z, y, x = (_middle(length, share) for length in array.shape[-3:])
    kept[..., z, y, x] = array[..., z, y, x]
    return kept


def _middle(length: int, share: float) -> slice:
    count = max(1, round(length * share))
    return slice((length - count) // 2, (length - count) // 2 + count)


def random_axis(generator: np.random.Generator) -> NDArray[np.float64]:
    """A direction (3,) in (D, H, W), all equally likely."""
    drawn = generator.standard_normal(3)
    return np.asarray(drawn / np.linalg.norm(drawn))


def rotated(
    array: Array, axis: Sequence[float] | Array, degrees: float, spacing_mm: Sequence[float], labels: bool = False
) -> Array:
    """Turned about `axis` (3,) through the centre, a true rotation in millimetres; zeros enter from outside.

    Linear, or the nearest voxel of `labels`, once for an image and its label map with the same axis. The right-hand
    rule holds for coordinates in the order (D, H, W).
    """
    # From a voxel of the result to where it came from.
    matrix = _in_voxels(_turn(axis, degrees).T, spacing_mm)
    centre = (np.array(array.shape[-3:]) - 1) / 2
    volumes = array.reshape(-1, *array.shape[-3:])
    turned = [
        ndimage.affine_transform(volume, matrix, centre - matrix @ centre, order=0 if labels else 1)
        for volume in volumes
    ]
    return np.stack(turned).reshape(array.shape)


def rotated_places(
    places: Array, axis: Sequence[float] | Array, degrees: float, spacing_mm: Sequence[float], size: Sequence[int]
) -> Array:
    """(N, 3): where `rotated` brings what lies at `places` (N, 3) of a volume (D, H, W); NaN for out of it. Voxels."""
    last = np.array(size) - 1
    turned = (places - last / 2) @ _in_voxels(_turn(axis, degrees), spacing_mm).T + last / 2
    return _nan_outside((turned >= 0) & (turned <= last), turned)


def narrowed_places(places: Array, share: float, size: Sequence[int]) -> Array:
    """(N, 3): `places` (N, 3) of a volume (D, H, W), NaN where `narrowed` leaves them out; in voxels."""
    middles = [_middle(length, share) for length in size]
    first, last = (np.array([getattr(middle, end) for middle in middles]) for end in ("start", "stop"))
    return _nan_outside((places >= first) & (places <= last - 1), places)


def _nan_outside(inside: Array, places: Array) -> Array:
    return np.where(inside.all(1, keepdims=True), places, np.nan)


def _turn(axis: Sequence[float] | Array, degrees: float) -> Array:
    """(3, 3), of millimetres."""
    return np.asarray(Rotation.from_rotvec(np.deg2rad(degrees) * np.asarray(axis, dtype=np.float64)).as_matrix())


def _in_voxels(turn: Array, spacing_mm: Sequence[float]) -> Array:
    """(3, 3): to millimetres, by `turn`, back to voxels."""
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    return np.asarray(turn * spacing / spacing[:, None])
