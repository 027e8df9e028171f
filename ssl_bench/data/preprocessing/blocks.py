"""Small volumes of blocks: averaged, smoothed and resampled by one matrix along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def along_axes(matrices: Sequence[Floats], volumes: NDArray[Any]) -> Floats:
    """Volumes (..., D, H, W) times matrices (D', D), (H', H) and (W', W) along their axes: (..., D', H', W')."""
    depth, height, width = matrices
    slices: NDArray[Any] = height @ (volumes @ width.T)
    flat: NDArray[Any] = depth @ slices.reshape(*slices.shape[:-2], -1)
    return flat.reshape(*flat.shape[:-1], len(height), len(width))


def averaging(cells: int, size: int, low: float = 0.0, high: float | None = None) -> Floats:
    """(cells, size): means over equal parts of an axis of `size` voxels from `low` to `high`, the whole by default.

    A voxel on the border of two cells belongs to both in part. Beyond its ends the axis goes on as it ends.
    """
    ends = np.linspace(low, size if high is None else high, cells + 1)
    first, last = np.arange(size, dtype=float), np.arange(1.0, size + 1)
    first[0], last[-1] = -np.inf, np.inf
    shares = np.minimum(ends[1:, None], last) - np.maximum(ends[:-1, None], first)
    weights = np.clip(shares, 0, None)
    averages: Floats = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return averages


def smoothing(size: int, kernel: Sequence[float]) -> Floats:
    """(size, size): means weighted by a `kernel` of odd length, of what of it lies on the axis."""
    reach = len(kernel) // 2
    weights = sum(weight * np.eye(size, k=step) for step, weight in enumerate(kernel, start=-reach))
    means: Floats = (weights / np.sum(weights, axis=1, keepdims=True)).astype(np.float32)
    return means


def interpolation(size: int, scale: float, shift: float) -> tuple[Floats, NDArray[np.bool_]]:
    """(size, size): the axis read linearly at places scaled about its centre and shifted by a share of its length.

    The second value says which of these places lie on the axis.
    """
    places = ((np.arange(size) + 0.5) / size - 0.5) * scale + 0.5 + shift
    index = np.clip(places * size - 0.5, 0, size - 1)
    weights: Floats = np.maximum(0, 1 - np.abs(index[:, None] - np.arange(size))).astype(np.float32)
    return weights, (places > 0) & (places < 1)
