"""Lungs by a threshold and connected components: air inside the body."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

AIR_HU = -500
OUTSIDE_HU = -920
"""The median of a lung lies above, that of air, foam and cloth around the body below."""
SECOND_LUNG = 0.2
"""Share of the larger component's volume: less is stomach or bowel gas beside two lungs that the airways join. And the
share of both lungs' volume that the smaller has at least."""
CLOSING_MM = 8.0
"""Radius: vessels of the lung and consolidations along its border belong to it."""
WORKING_MM = 1.5
"""About the voxel size at which the threshold works: the rest is noise, time and memory."""
THICK_MM = 10.0
"""The radius of a ball that fits into what is left of a lung, and not between a body and the air around it."""

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


def picture_edge(voxels_hu: NDArray[Any]) -> NDArray[np.bool_]:
    """The voxels at the sides of a CT (D, H, W), and beside what fills it up around a smaller field of view."""
    edge: NDArray[np.bool_] = ndimage.binary_dilation(_filler(voxels_hu), np.ones((1, 3, 3)))
    edge[:, [0, -1]] = edge[:, :, [0, -1]] = True
    return edge


def is_on_both_sides(mask: NDArray[np.bool_], voxels_hu: NDArray[Any]) -> bool:
    """Whether a fair part of `mask` lies right of the body's middle, and left of it."""
    tissue = np.count_nonzero((voxels_hu >= AIR_HU) & ~_filler(voxels_hu), axis=(0, 1))
    if not tissue.any():
        return False
    middle = round(float(np.average(np.arange(len(tissue)), weights=tissue)))
    parts = np.count_nonzero(mask[..., :middle]), np.count_nonzero(mask[..., middle:])
    return bool(min(parts) >= max(1, SECOND_LUNG * sum(parts)))


def _two_largest(coarse: NDArray[Any], coarse_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    components, count = ndimage.label((coarse < AIR_HU) & ~_filler(coarse))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[0] = 0
    at_edge = np.zeros(count + 1, bool)
    at_edge[np.unique(components[picture_edge(coarse)])] = True
    inside = np.where(at_edge, 0, sizes)
    mask: NDArray[np.bool_] = _largest(inside)[components]
    if is_on_both_sides(mask, coarse):
        return mask
    for number in np.flatnonzero(at_edge & (sizes >= max(1, SECOND_LUNG * inside.max()))):
        part = components == number
        box = ndimage.find_objects(part.astype(np.uint8))[0]
        thickest = ndimage.distance_transform_edt(np.pad(part[box], 1), coarse_mm).max()
        if thickest >= THICK_MM and np.median(coarse[part]) > OUTSIDE_HU:
            inside[number] = sizes[number]
    return np.asarray(_largest(inside)[components])


def _largest(sizes: NDArray[Any]) -> NDArray[np.bool_]:
    """The largest component, and the second if it is a lung too."""
    lungs: NDArray[np.bool_] = sizes >= max(1, SECOND_LUNG * sizes.max())
    lungs[np.argsort(sizes)[:-2]] = False
    return lungs


def _filler(voxels_hu: NDArray[Any]) -> NDArray[np.bool_]:
    """What a scanner or a tool put around a smaller field of view: one value, from the corners of the slices on."""
    corners = np.s_[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    values, counts = np.unique(voxels_hu[corners], return_counts=True)
    if counts.max() <= counts.sum() / 2:
        return np.zeros(voxels_hu.shape, bool)
    parts, count = ndimage.label(voxels_hu == values[counts.argmax()])
    at_corner = np.zeros(count + 1, bool)
    at_corner[np.unique(parts[corners])] = True
    at_corner[0] = False
    found: NDArray[np.bool_] = at_corner[parts]
    return found


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
