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

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic import thorax
from ssl_bench.data.synthetic.anatomy import Anatomy
from ssl_bench.data.synthetic.epicardium import Epicardium, Floats, Indices, epicardium, root_mm
from ssl_bench.data.synthetic.fields import smooth_noise
from ssl_bench.errors import UserError

LEAST_RADIUS_MM = 1.45
"""Radius in the anatomy; subjects are smaller, and it still leaves them two voxels of 1 mm."""
STEP_MM = 0.5
"""Between points of a centreline."""


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
    """Possible ends (N,), from the epicardium and its places (N, 3), mm up, anterior and right of the ostium."""
    chance: float = 1.0


def _far(offset: Floats, low: float, high: float) -> NDArray[np.bool_]:
    distance: Floats = np.linalg.norm(offset, axis=1)
    return (distance > low) & (distance < high)


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
    (0.0, -0.1, -1.0),
    (_Branch(_lad), _Branch(_lcx), _Branch(_diagonal), _Branch(_marginal, 0.8), _Branch(_diagonal, 0.5)),
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
    branches = [branch for side in (_LEFT, _RIGHT) for branch in _tree(side, anatomy, graph, draws)]
    if not branches:
        raise UserError(
            f"anatomy {anatomy.name}: no room for coronary arteries; SAC needs a heart with the fat around it"
        )
    lines, radii = (torch.from_numpy(np.concatenate(parts)).float() for parts in zip(*branches, strict=True))
    return Arteries(lines, radii)


def _tree(side: _Side, anatomy: Anatomy, graph: sparse.csr_array, draws: Draws) -> list[tuple[Floats, Floats]]:
    """Centrelines (n, 3) and radii (n,) in mm of the arteries from one ostium."""
    heart = epicardium(anatomy)
    inside, start = _ostium(side, anatomy, draws)
    reached, before = csgraph.dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    calibre = float(draws.uniform(low=2.35, high=2.75))
    taken = np.zeros(len(reached), bool)
    branches = []
    for branch in side.branches:
        ends = (branch.ends(heart, heart.places - heart.places[start]) & np.isfinite(reached)).nonzero()[0]
        place, chance = draws.uniform(2)[0].tolist()
        if chance > branch.chance or not len(ends):
            continue
        path = _walk(before, int(ends[int(place * len(ends))]))
        line = _centreline(np.concatenate((inside, heart.places[path])))
        # What two arteries share is one artery: the second is drawn from shortly before the fork, and is thinner.
        shared = float(np.linalg.norm(np.diff(heart.places[path[taken[path]]], axis=0), axis=1).sum())
        own = np.arange(len(line)) * STEP_MM > shared - 2
        thinner = 0.85 if taken.any() else 1.0
        taken[path] = True
        branches.append((line[own], thinner * _radius(len(line), calibre, draws)[own]))
    return branches


def _ostium(side: _Side, anatomy: Anatomy, draws: Draws) -> tuple[Floats, int]:
    """Two points (2, 3), mm, that lead out of the aorta, and the voxel of the epicardium where they arrive."""
    wobble = draws.normal(3)[0].double().numpy() * (0.1, 0.12, 0.12)
    direction = np.array(side.towards) + wobble
    direction /= np.linalg.norm(direction)
    ray = root_mm(anatomy) + np.arange(0, 30, 0.5)[:, None] * direction
    voxels = (ray / anatomy.spacing_mm).round().astype(int)
    outside = anatomy.labels.numpy()[tuple(voxels.T)] != thorax.AORTA
    surface = ray[int(outside.argmax())]
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
    even = np.arange(0, length[-1], STEP_MM)
    line = np.stack([np.interp(even, length, axis) for axis in corners.T], axis=1)
    smooth: Floats = ndimage.gaussian_filter1d(line, 3.0 / STEP_MM, axis=0, mode="nearest")
    return smooth


def _radius(count: int, calibre_mm: float, draws: Draws) -> Floats:
    """(count,), mm: tapering from `calibre_mm`, with up to two stenoses."""
    along = np.arange(count) * STEP_MM
    taper = np.maximum(calibre_mm - 0.013 * along, 1.6)
    middle = draws.uniform(2)[0].numpy() * along[-1]
    depth = draws.uniform(2, low=-0.3, high=0.45)[0].clamp(min=0).numpy()
    narrowing = (depth * np.exp(-(((along[:, None] - middle) / 2.5) ** 2))).sum(1)
    radius: Floats = np.maximum(taper * (1 - narrowing), LEAST_RADIUS_MM)
    return radius
