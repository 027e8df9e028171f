"""The fat around the heart as a graph of voxels: where coronary arteries run, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ssl_bench.data.synthetic.anatomy import Anatomy
from ssl_bench.data.synthetic.thorax import AORTA, LEFT_HEART, MYOCARDIUM, RIGHT_HEART

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

HEART = (*LEFT_HEART, *RIGHT_HEART, MYOCARDIUM)
FAT_HU = -80.0
_AROUND_MM = 78.0
"""Arteries grow at most this far from the aortic root."""
_SINUS_MM = 13.0
"""Height of the coronary sinuses above the lowest point of the aortic root."""
_CLEFT_MM = 22.0
"""Half the width of the widest cleft that is filled to find the hull of the heart."""
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
    box, to_heart, to_blood = _surroundings(anatomy)
    hu = anatomy.image.numpy().copy()
    around = hu[box]
    # One voxel next to blood keeps its partial volume.
    small = (to_heart > 1) & (to_heart < 8) & (to_blood > 2) & (around > _SOFT_HU)
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(around.shape, np.float32), 1.0)
    around[small] = (FAT_HU + 60 * texture)[small]
    return hu


def _surroundings(anatomy: Anatomy) -> tuple[tuple[slice, ...], Floats, Floats]:
    """A box around the aortic root, and in it the distances (D, H, W), mm, to the heart and to other wide blood.

    Wide blood is too wide for a coronary artery: appendages, veins and what the labels miss of the great vessels.
    """
    spacing = np.array(anatomy.spacing_mm)
    low = np.maximum((root_mm(anatomy) - _AROUND_MM) / spacing, 0).astype(int)
    high = ((root_mm(anatomy) + _AROUND_MM) / spacing).astype(int)
    box = tuple(slice(first, last) for first, last in zip(low.tolist(), high.tolist(), strict=True))
    heart = anatomy.mask(HEART).numpy()[box]
    wide = ndimage.binary_opening(anatomy.image.numpy()[box] > _BLOOD_HU, iterations=2)
    return box, _distance(heart, anatomy), _distance(wide & ~heart, anatomy)


def _distance(mask: NDArray[np.bool_], anatomy: Anatomy) -> Floats:
    distance: Floats = ndimage.distance_transform_edt(~mask, anatomy.spacing_mm)
    return distance


def _epicardium(anatomy: Anatomy) -> Epicardium:
    box, to_heart, to_blood = _surroundings(anatomy)
    clearance = np.minimum(to_heart, to_blood)
    shell = (clearance > 1) & (to_heart < 5.5) & (anatomy.image.numpy()[box] > _LUNG_HU)
    pieces, _ = ndimage.label(shell, np.ones((3, 3, 3)))
    inside = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    voxels = np.argwhere(inside)
    to = {value: _distance(anatomy.mask((value,)).numpy()[box], anatomy)[inside] for value in HEART}
    second = np.sort(np.stack(list(to.values())), axis=0)[1]
    # Clefts between the chambers look like grooves, too; the hull tells the surface of the heart from its inside.
    depth = _hull_depth(clearance, anatomy)[inside]
    cost = 1 + np.minimum(second, 20.0) + 0.5 * (clearance[inside] - 2.2) ** 2 + np.clip(1.5 * (depth - 8), 0, 20)
    edges = _edges(inside)
    spacing = np.array(anatomy.spacing_mm)
    length = np.linalg.norm((voxels[edges[0]] - voxels[edges[1]]) * spacing, axis=1)
    d, h, w = inside.shape
    corner = [side.start for side in box]
    return Epicardium((d, h, w), voxels, (voxels + corner) * spacing, to, cost, edges, length)


def _hull_depth(clearance: Floats, anatomy: Anatomy) -> Floats:
    """(D, H, W), mm: depth below the surface of the heart once all narrow clefts are filled."""
    outside = clearance > _CLEFT_MM
    return np.maximum(_distance(outside, anatomy) - _CLEFT_MM, 0)


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
