"""Lungs by a threshold and connected components: air inside the body."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

AIR_HU = -500
OUTSIDE_HU = -920
"""At the edge of the picture the median of a lung lies above, that of air, foam and cloth around the body below."""
SMALLEST_ML = 10.0
"""No lung, nor a fair part of both, is smaller."""
SECOND_LUNG = 0.2
"""Share of the larger component's volume: less is stomach or bowel gas beside two lungs that the airways join. And the
share of both lungs' volume that the smaller has at least."""
CLOSING_MM = 8.0
"""Radius: vessels of the lung and consolidations along its border belong to it."""
WORKING_MM = 1.5
"""About the voxel size at which the threshold works: the rest is noise, time and memory."""
THICK_MM = 10.0
"""The radius of a ball that fits into what is left of a lung, and not between a body and the air around it."""

WALL_MM = 10.0
"""Of the chest, ribs and muscles included; covers are thinner."""
GAP = 0.5
"""Of the fullest column of the smaller lung: between two lungs columns hold less, within one they do not."""

Triple = tuple[float, float, float]


def lungs_by_threshold(voxels_hu: NDArray[Any], spacing_mm: Triple) -> NDArray[np.bool_]:
    """The lungs of a CT (D, H, W) in HU: the largest component of air in the body and the second, closed and filled.

    Lungs may leave the picture at its top and bottom. Only where those that stay off its sides are not both is air at a
    side looked at, which is mostly air around the body. All false where nothing is found.
    """
    grid = working_grid(voxels_hu.shape, spacing_mm)
    steps = [part.step for part in grid]
    coarse = voxels_hu[grid]
    coarse_mm = tuple(size * step for size, step in zip(spacing_mm, steps, strict=True))
    mask = _two_largest(coarse, coarse_mm)
    if not mask.any():
        return np.zeros(voxels_hu.shape, bool)
    mask = _closed(mask, coarse_mm)
    nearest = [np.minimum(np.arange(n) // s, m - 1) for n, s, m in zip(voxels_hu.shape, steps, mask.shape, strict=True)]
    return mask[np.ix_(*nearest)]


def working_grid(shape: tuple[int, ...], spacing_mm: Triple) -> tuple[slice, ...]:
    """The voxels at which the threshold works."""
    steps = [max(1, round(WORKING_MM / size)) for size in spacing_mm]
    return tuple(slice(min((step - 1) // 2, n - 1), None, step) for step, n in zip(steps, shape, strict=True))


def filled_up(voxels_hu: NDArray[Any]) -> NDArray[np.bool_]:
    """What a scanner or a tool put around a smaller field of view: one value, from the corners of the slices on."""
    corners = np.s_[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    values, counts = np.unique(voxels_hu[corners], return_counts=True)
    if counts.max() <= counts.sum() / 2:
        return np.zeros(voxels_hu.shape, bool)
    parts, count = ndimage.label(voxels_hu == values[counts.argmax()])
    at_corner = np.zeros(count + 1, bool)
    at_corner[parts[corners]] = True
    at_corner[0] = False
    return np.asarray(at_corner[parts])


def picture_edge(filler: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels (D, H, W) at the sides of the picture, and beside the `filler` in their slice."""
    edge = filler.copy()
    edge[:, 1:] |= filler[:, :-1]
    edge[:, :-1] |= filler[:, 1:]
    edge[:, :, 1:] |= filler[:, :, :-1]
    edge[:, :, :-1] |= filler[:, :, 1:]
    edge[:, [0, -1]] = edge[:, :, [0, -1]] = True
    return edge


def are_two(mask: NDArray[np.bool_]) -> bool:
    """Whether `mask` (D, H, W) is two lungs: a fair part of it on either side of a gap, that of the heart."""
    columns = np.count_nonzero(mask, axis=(0, 1))
    before, after = columns.cumsum(), columns[::-1].cumsum()[::-1]
    fair = np.minimum(before, after) >= max(1, SECOND_LUNG * columns.sum())
    # The fuller column to the left, and to the right: the less full of both is what a gap is one beside.
    lower = np.minimum(np.maximum.accumulate(columns), np.maximum.accumulate(columns[::-1])[::-1])
    return bool((fair & (columns < GAP * lower)).any())


def _two_largest(coarse: NDArray[Any], coarse_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """The components that are lungs; those at an edge only where the others are not both."""
    filler, air = filled_up(coarse), coarse < AIR_HU
    components, count = ndimage.label(air & ~filler)
    at_edge = np.zeros(count + 1, bool)
    at_edge[components[picture_edge(filler)]] = True
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    covered = np.bincount(components[_between_walls(~air & ~filler, coarse_mm[1])], minlength=count + 1)
    lungs = np.where(at_edge | (covered < sizes / 2), 0, sizes)
    lungs[0] = 0
    mask: NDArray[np.bool_] = _largest(lungs)[components]
    if are_two(mask):
        return mask
    boxes = ndimage.find_objects(components)
    large = sizes * np.prod(coarse_mm) / 1000 >= SMALLEST_ML
    for number in np.flatnonzero(large[1:] & at_edge[1:]) + 1:
        box = boxes[number - 1]
        part = components[box] == number
        if np.median(coarse[box][part]) > OUTSIDE_HU and _radius_mm(part, coarse_mm) >= THICK_MM:
            lungs[number] = sizes[number]
    return np.asarray(_largest(lungs)[components])


def _between_walls(tissue: NDArray[np.bool_], step_mm: float) -> NDArray[np.bool_]:
    """Where there is the wall of a body before and behind, and not the cover of a table or cloth."""
    behind = np.cumsum(tissue, axis=1, dtype=np.int16)
    wall = max(1, ceil(WALL_MM / step_mm))
    return (behind >= wall) & (behind[:, -1:] - behind >= wall)


def _radius_mm(part: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> float:
    """Of the largest ball inside."""
    return float(ndimage.distance_transform_edt(np.pad(part, 1), spacing_mm).max())


def _largest(sizes: NDArray[Any]) -> NDArray[np.bool_]:
    """The largest component, and the second if it is a lung too."""
    lungs: NDArray[np.bool_] = sizes >= max(1, SECOND_LUNG * sizes.max())
    lungs[np.argsort(sizes)[:-2]] = False
    return lungs


def _closed(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """`mask` closed with a ball of CLOSING_MM, its holes filled."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    # A rim wide enough that what grows never meets the border.
    rims = [int(CLOSING_MM / size) + 2 for size in spacing_mm]
    grown = np.pad(mask[box], [(rim, rim) for rim in rims])
    grown = ndimage.distance_transform_edt(~grown, spacing_mm) <= CLOSING_MM
    grown = ndimage.distance_transform_edt(grown, spacing_mm) > CLOSING_MM
    outside, _ = ndimage.label(~grown)
    closed = np.zeros_like(mask)
    closed[box] = (outside != outside[0, 0, 0])[tuple(slice(rim, -rim) for rim in rims)]
    return closed
