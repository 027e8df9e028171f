"""The fat around the heart as a graph of voxels: where coronary arteries run, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ssl_bench.cohort.anatomy import Anatomy
from ssl_bench.cohort.thorax import AORTA, LEFT_HEART, MYOCARDIUM, RIGHT_HEART

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

HEART = (*LEFT_HEART, *RIGHT_HEART, MYOCARDIUM)
FAT_HU = -80.0
_AROUND_MM = 85.0
"""Arteries grow at most this far from the aortic root."""
_SINUS_MM = 13.0
"""Height of the coronary sinuses above the lowest point of the aortic root."""
_SOFT_HU = -40.0
_LUNG_HU = -400.0
_BLOOD_HU = 150.0


@dataclass(frozen=True)
class Epicardium:
    """N voxels of fat within a few millimetres of the heart, and the E edges between neighbours."""

    shape: tuple[int, int, int]
    """(D, H, W) of the box that `voxels` index."""
    voxels: Indices
    """(N, 3)."""
    places: Floats
    """(N, 3), mm."""
    to: Mapping[int, Floats]
    """Distance (N,), mm, to each structure of the heart, by label value."""
    cost: Floats
    """(N,): what a millimetre costs an artery; least in a groove, two millimetres off the surface."""
    edges: tuple[Indices, Indices]
    """(E,) and (E,): the voxels that an edge joins."""
    length: Floats
    """(E,), mm."""


def without_coronaries(anatomy: Anatomy) -> Anatomy:
    """The anatomy with fat in place of what is bright, small and unlabelled around the heart: its real arteries."""
    return anatomy.derive("without coronaries", lambda: replace(anatomy, image=torch.from_numpy(_cleaned(anatomy))))


def root_mm(anatomy: Anatomy) -> Floats:
    """(3,), mm: middle of the aortic root at the height of the coronary sinuses."""
    aorta = anatomy.points_in((AORTA,)).double().numpy()
    height = aorta[:, 0] - aorta[:, 0].min()
    middle: Floats = aorta[abs(height - _SINUS_MM) <= anatomy.spacing_mm[0]].mean(0)
    return middle


def epicardium(anatomy: Anatomy) -> Epicardium:
    """The epicardium of a chest with the seven structures of the heart labelled; found once per anatomy."""
    return anatomy.derive("epicardium", lambda: _epicardium(anatomy))


def _cleaned(anatomy: Anatomy) -> NDArray[np.float32]:
    hu = anatomy.image.numpy().copy()
    to_heart = anatomy.distance(HEART).numpy()
    # One voxel next to blood keeps its partial volume.
    small = (to_heart > 1) & (to_heart < 8) & (_to_blood(anatomy) > 2) & (hu > _SOFT_HU)
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(hu.shape, np.float32), 1.0)
    hu[small] = (FAT_HU + 60 * texture)[small]
    return hu


def _to_blood(anatomy: Anatomy) -> NDArray[np.float32]:
    """(D, H, W), mm: distance to blood that is too wide for a coronary artery: appendages, veins, great vessels."""
    wide = ndimage.binary_opening(anatomy.image.numpy() > _BLOOD_HU, iterations=2) & ~anatomy.mask(HEART).numpy()
    return anatomy.derive("to wide blood", lambda: anatomy.distance_to(torch.from_numpy(wide), 10.0).numpy())


def _epicardium(anatomy: Anatomy) -> Epicardium:
    spacing = np.array(anatomy.spacing_mm)
    low = np.maximum((root_mm(anatomy) - _AROUND_MM) / spacing, 0).astype(int)
    high = ((root_mm(anatomy) + _AROUND_MM) / spacing).astype(int)
    box = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    hu = anatomy.image.numpy()[box]
    to_heart = anatomy.distance(HEART).numpy()[box]
    clearance = np.minimum(to_heart, _to_blood(anatomy)[box])
    pieces, _ = ndimage.label((clearance > 1) & (to_heart < 5.5) & (hu > _LUNG_HU), np.ones((3, 3, 3)))
    inside = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    voxels = np.argwhere(inside)
    to = {value: anatomy.distance((value,)).numpy()[box][inside].astype(float) for value in HEART}
    second = np.sort(np.stack(list(to.values())), axis=0)[1]
    # Clefts between the chambers look like grooves, too; the hull tells the surface of the heart from its inside.
    depth = _hull_depth(clearance)[inside] * anatomy.spacing_mm[0]
    cost = 1 + np.minimum(second, 20.0) + 0.5 * (clearance[inside] - 2.2) ** 2 + 1.5 * np.maximum(depth - 5, 0)
    edges = _edges(inside)
    length = np.linalg.norm((voxels[edges[0]] - voxels[edges[1]]) * spacing, axis=1)
    d, h, w = inside.shape
    return Epicardium((d, h, w), voxels, (voxels + low) * spacing, to, cost, edges, length)


def _hull_depth(clearance: Floats, radius: float = 15.0) -> Floats:
    """(D, H, W), voxels: depth below the surface of the heart with all clefts narrower than 2 radii filled."""
    filled = ndimage.distance_transform_edt(ndimage.distance_transform_edt(clearance > 0) < radius) > radius
    depth: Floats = ndimage.distance_transform_edt(filled)
    return depth


def _edges(inside: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Every pair of 26-neighbours of a mask once, as positions in its list of voxels."""
    number = np.full(np.array(inside.shape) + 2, -1)
    number[1:-1, 1:-1, 1:-1][inside] = np.arange(inside.sum())
    forward = [step for step in np.ndindex(3, 3, 3) if step > (1, 1, 1)]
    centre = number[1:-1, 1:-1, 1:-1]
    pairs = []
    for step in forward:
        window = tuple(slice(start, start + length) for start, length in zip(step, inside.shape, strict=True))
        joined = (centre >= 0) & (number[window] >= 0)
        pairs.append((centre[joined], number[window][joined]))
    first, second = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    return first, second
