"""Coronary arteries grown on a heart: two trees along the epicardium and its grooves, drawn anew for each subject.

An artery is a shortest path through the fat around the heart, from an ostium on the aortic root to a target; passing
through a groove costs little. The paths from one ostium share their first part, and that makes the tree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from torch import Tensor

from ssl_bench.cohort import thorax
from ssl_bench.cohort.anatomy import Anatomy
from ssl_bench.cohort.epicardium import FAT_HU, Epicardium, Floats, Indices, epicardium, root_mm
from ssl_bench.cohort.fields import smooth_noise
from ssl_bench.cohort.lesions import mean_inside, paint
from ssl_bench.cohort.sampling import Scene, sample
from ssl_bench.draws import Draws

ARTERY = 1
"""The label value of coronary arteries in a scene."""
LEAST_RADIUS_MM = 1.35
_STEP_MM = 0.5
"""Between points of a centreline."""
_LUMEN_HU = (380.0, 500.0)
_GRID_MM = 0.75
"""Voxels of the distance field; two and a half of them make the thinnest artery."""
_REACH_MM = 5.25
_NEAR_MM = 2.0
"""The distance field is constant beyond this."""
_SLEEVE_MM = 1.3
"""Thickness of the fat around an artery."""


@dataclass(frozen=True)
class Arteries:
    """The centrelines of one subject."""

    points: Tensor
    """(N, 3), mm."""
    radius: Tensor
    """(N,), mm."""


@dataclass(frozen=True)
class _Branch:
    """An artery by where it ends."""

    ends: Callable[[Epicardium, Floats], NDArray[np.bool_]]
    """Possible ends (N,), from the epicardium and its places relative to the ostium (N, 3), mm."""
    chance: float = 1.0


def _between(distance: Floats, low: float, high: float) -> NDArray[np.bool_]:
    return (distance > low) & (distance < high)


def _far(offset: Floats, low: float, high: float) -> NDArray[np.bool_]:
    return _between(np.linalg.norm(offset, axis=1), low, high)


def _lad(heart: Epicardium, offset: Floats) -> NDArray[np.bool_]:
    groove = (heart.to[thorax.MYOCARDIUM] < 5) & (heart.to[thorax.RIGHT_VENTRICLE] < 5)
    return groove & (offset[:, 1] > 10) & (offset[:, 2] < -15) & _far(offset, 50, 75)


def _lcx(heart: Epicardium, offset: Floats) -> NDArray[np.bool_]:
    groove = (heart.to[thorax.MYOCARDIUM] < 6) & (heart.to[thorax.LEFT_ATRIUM] < 6)
    return groove & (offset[:, 1] < -25) & (offset[:, 2] < 0) & _far(offset, 35, 60)


def _diagonal(heart: Epicardium, offset: Floats) -> NDArray[np.bool_]:
    wall = (heart.to[thorax.MYOCARDIUM] < 4) & (heart.to[thorax.RIGHT_VENTRICLE] > 10)
    return wall & (offset[:, 1] > 0) & (offset[:, 2] < -15) & _far(offset, 40, 65)


def _marginal(heart: Epicardium, offset: Floats) -> NDArray[np.bool_]:
    wall = (heart.to[thorax.MYOCARDIUM] < 4) & (heart.to[thorax.LEFT_ATRIUM] > 10)
    return wall & (offset[:, 1] < 0) & (offset[:, 2] < -15) & _far(offset, 40, 65)


def _rca(heart: Epicardium, offset: Floats) -> NDArray[np.bool_]:
    groove = (heart.to[thorax.RIGHT_ATRIUM] < 6) & (heart.to[thorax.RIGHT_VENTRICLE] < 6)
    return groove & (offset[:, 0] < -30) & _far(offset, 45, 75)


def _acute_marginal(heart: Epicardium, offset: Floats) -> NDArray[np.bool_]:
    wall = (heart.to[thorax.RIGHT_VENTRICLE] < 4) & (heart.to[thorax.RIGHT_ATRIUM] > 10)
    return wall & (offset[:, 2] > -5) & (offset[:, 0] < -10) & _far(offset, 35, 60)


@dataclass(frozen=True)
class _Side:
    towards: tuple[float, float, float]
    """(z, y, x): from the middle of the root to the ostium."""
    branches: tuple[_Branch, ...]


_LEFT = _Side(
    (0.0, -0.1, -1.0), (_Branch(_lad), _Branch(_lcx), _Branch(_diagonal, 0.9), _Branch(_marginal, 0.7), _Branch(_diagonal, 0.5), _Branch(_marginal, 0.4))
)
_RIGHT = _Side((0.0, 1.0, 0.3), (_Branch(_rca), _Branch(_acute_marginal, 0.7), _Branch(_acute_marginal, 0.4)))


def grow_arteries(anatomy: Anatomy, draws: Draws) -> Arteries:
    """Left main, LAD and LCx with side branches, and RCA of one subject; `draws` holds a single stream."""
    heart = epicardium(anatomy)
    bumps = smooth_noise(draws, heart.shape, anatomy.spacing_mm, 14.0)[0].numpy()
    cost = heart.cost * np.exp(0.4 * bumps[tuple(heart.voxels.T)])
    first, second = heart.edges
    weight = heart.length * (cost[first] + cost[second])
    graph = sparse.csr_array((weight, (first, second)), shape=(len(cost), len(cost)))
    lines, radii = zip(*(part for side in (_LEFT, _RIGHT) for part in _tree(side, anatomy, graph, draws)), strict=True)
    return Arteries(torch.from_numpy(np.concatenate(lines)).float(), torch.from_numpy(np.concatenate(radii)).float())


def _tree(side: _Side, anatomy: Anatomy, graph: sparse.csr_array, draws: Draws) -> list[tuple[Floats, Floats]]:
    """Centrelines (n, 3) and radii (n,) in mm of the arteries from one ostium."""
    heart = epicardium(anatomy)
    inside, start = _ostium(side, anatomy, draws)
    reached, before = csgraph.dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    calibre = float(draws.uniform(low=2.2, high=2.5))
    taken = np.zeros(len(reached), bool)
    branches = []
    for branch in side.branches:
        ends = (branch.ends(heart, heart.places - heart.places[start]) & np.isfinite(reached)).nonzero()[0]
        end = ends[int(draws.uniform() * len(ends))]
        if draws.uniform() > branch.chance:
            continue
        path = _walk(before, int(end))
        line = _centreline(np.concatenate((inside, heart.places[path])))
        # What two arteries share is one artery: the second is drawn from shortly before the fork, and is thinner.
        shared = float(np.linalg.norm(np.diff(heart.places[path[taken[path]]], axis=0), axis=1).sum())
        own = np.arange(len(line)) * _STEP_MM > shared - 2
        thinner = 0.85 if taken.any() else 1.0
        taken[path] = True
        branches.append((line[own], thinner * _radius(len(line), calibre, draws)[own]))
    return branches

def paint_arteries(scene: Scene, arteries: Arteries, draws: Draws) -> None:
    """Draw the arteries of the single subject of a scene, in image and labels, each in a sleeve of fat. In place.

    Their blood is as bright as the aorta's, between 300 and 500 HU, with a few calcified plaques.
    """
    distance = surface_distance(arteries, scene.points)
    aorta = scene.labels == thorax.AORTA
    near = (distance < _SLEEVE_MM) & ~aorta
    tissue, gap, grain = scene.image[near], distance[near], scene.noise(draws, 4.0)[near]
    tissue = torch.lerp(tissue, FAT_HU + 15 * grain, (1.5 * (1 - gap / _SLEEVE_MM)).clamp(0, 1))
    lumen = mean_inside(scene, aorta).clamp(*_LUMEN_HU).flatten() + 10 * grain
    scene.image[near] = torch.lerp(tissue, lumen, (0.5 - gap / _STEP_MM).clamp(0, 1))
    inside = (distance < 0) & ~aorta
    for _ in range(4):
        paint(scene, draws, arteries.points, 0.4, (0.9, 1.8), 1000.0, inside)
    scene.labels = torch.where(inside, ARTERY, scene.labels)


def surface_distance(arteries: Arteries, points: Tensor) -> Tensor:
    """(B, D, H, W), mm: distance of places (B, D, H, W, 3), mm, to the surface of the arteries, negative inside.

    Read from a grid in the anatomy, and constant beyond a few millimetres.
    """
    corner = arteries.points.amin(0) - _REACH_MM
    size = ((arteries.points.amax(0) + _REACH_MM - corner) / _GRID_MM).int() + 2
    d, h, w = size.tolist()
    reach = int(_REACH_MM / _GRID_MM)
    offsets = torch.cartesian_prod(*[torch.arange(-reach, reach + 1)] * 3)
    voxels = ((arteries.points - corner) / _GRID_MM).round().int()[:, None] + offsets
    distance = (voxels * _GRID_MM + corner - arteries.points[:, None]).norm(dim=-1) - arteries.radius[:, None]
    flat = (voxels[..., 0] * h + voxels[..., 1]) * w + voxels[..., 2]
    nearness = torch.zeros(d * h * w)
    # Nearness instead of distance, so that what lies outside the grid reads 0: out of reach.
    nearness.scatter_reduce_(0, flat.flatten().long(), (_NEAR_MM - distance).clamp(min=0).flatten(), "amax")
    return _NEAR_MM - sample(nearness.view(d, h, w), points - corner, (_GRID_MM,) * 3)


def _ostium(side: _Side, anatomy: Anatomy, draws: Draws) -> tuple[Floats, int]:
    """Two points (2, 3), mm, that lead out of the aorta, and the voxel of the epicardium where they arrive."""
    wobble = draws.normal(3)[0].double().numpy() * (0.1, 0.12, 0.12)
    direction = np.array(side.towards) + wobble
    direction /= np.linalg.norm(direction)
    ray = root_mm(anatomy) + np.arange(0, 30, 0.5)[:, None] * direction
    aorta = sample(anatomy.distance((thorax.AORTA,)), torch.from_numpy(ray).float()[None, :, None, None], anatomy.spacing_mm)
    surface = ray[int((aorta.flatten() > 0).int().argmax())]
    away = epicardium(anatomy).places - (surface + 2.5 * direction)
    return np.stack((surface - 2 * direction, surface)), int(np.linalg.norm(away, axis=1).argmin())


def _walk(before: NDArray[np.int32], end: int) -> Indices:
    """The shortest path to `end` from the source, given the predecessor of each voxel."""
    path = [end]
    while before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return np.array(path[::-1])


def _centreline(corners: Floats) -> Floats:
    """A smooth line (n, 3) through a path (m, 3), mm, with points every half millimetre."""
    length = np.concatenate(([0.0], np.linalg.norm(np.diff(corners, axis=0), axis=1).cumsum()))
    even = np.arange(0, length[-1], _STEP_MM)
    line = np.stack([np.interp(even, length, axis) for axis in corners.T], axis=1)
    smooth: Floats = ndimage.gaussian_filter1d(line, 3.0 / _STEP_MM, axis=0, mode="nearest")
    return smooth


def _radius(count: int, calibre_mm: float, draws: Draws) -> Floats:
    """(count,), mm: tapering from `calibre_mm`, with up to two stenoses."""
    along = np.arange(count) * _STEP_MM
    taper = np.maximum(calibre_mm - 0.012 * along, 1.5)
    middle, depth = draws.uniform(2)[0].numpy() * along[-1], draws.uniform(2, low=-0.3, high=0.45)[0].clamp(min=0).numpy()
    narrowing = (depth * np.exp(-(((along[:, None] - middle) / 2.5) ** 2))).sum(1)
    return np.maximum(taper * (1 - narrowing), LEAST_RADIUS_MM)
