"""Coronary arteries in a scene: lumen, plaques and the fat around them, in place of the subject's own."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.coronary_tree import Arteries
from ssl_bench.data.synthetic.epicardium import FAT_HU
from ssl_bench.data.synthetic.lesions import mean_inside, paint
from ssl_bench.data.synthetic.sampling import SUPERSAMPLING, Scene, sample
from ssl_bench.data.synthetic.thorax import AORTA

ARTERY = 1
"""The label value of coronary arteries in a scene."""
_LUMEN_HU = (380.0, 500.0)
_EDGE_MM = 0.5
_SLEEVE_MM = 1.5
"""Thickness of the fat around an artery."""
_NEAR_MM = 2.0
"""The distance field is constant beyond this."""
_GRID_MM = 0.75
_REACH_MM = 5.25
"""Reach of a centreline's point in the distance field: more than the largest radius and `_NEAR_MM` together."""


def paint_arteries(scene: Scene, arteries: Arteries, draws: Draws) -> None:
    """Draw the arteries of the single subject of a scene, in image and labels, each in a sleeve of fat.

    Their blood is as bright as the aorta's, between 380 and 500 HU, with a few calcified plaques. What enters the field
    of view a second time is left out: every artery shown hangs together with the aorta.
    """
    distance = surface_distance(arteries, scene.points)
    aorta = scene.labels == AORTA
    inside = connected_to((distance < 0) & ~aorta, aorta)
    near = (distance < _SLEEVE_MM) & ~aorta & _grown(inside, round(_SLEEVE_MM * SUPERSAMPLING / scene.spacing_mm[0]))
    tissue, gap, grain = scene.image[near], distance[near], scene.noise(draws, 4.0)[near]
    tissue = torch.lerp(tissue, FAT_HU + 15 * grain, (1.5 * (1 - gap / _SLEEVE_MM)).clamp(0, 1))
    lumen = mean_inside(scene, aorta).clamp(*_LUMEN_HU).flatten() + 10 * grain
    scene.image[near] = torch.lerp(tissue, lumen, (0.5 - gap / _EDGE_MM).clamp(0, 1))
    for _ in range(4):
        paint(scene, draws, arteries.points, 0.4, (0.9, 1.8), 1000.0, inside)
    scene.labels = torch.where(inside, ARTERY, scene.labels)


def connected_to(mask: Tensor, seed: Tensor) -> Tensor:
    """(B, D, H, W), bool: the pieces of a mask, by 26-neighbourhood, that touch the seed; each subject by itself."""
    kept = [_touching(one.numpy(), start.numpy()) for one, start in zip(mask, seed, strict=True)]
    return torch.from_numpy(np.stack(kept))


def surface_distance(arteries: Arteries, points: Tensor) -> Tensor:
    """(B, D, H, W), mm: distance of places (B, D, H, W, 3), mm, to the surface of the arteries, negative inside.

    Read from a grid in the anatomy, and constant beyond a few millimetres.
    """
    corner = arteries.points.amin(0) - _REACH_MM
    size = ((arteries.points.amax(0) + _REACH_MM - corner) / _GRID_MM).int() + 2
    d, h, w = size.tolist()
    reach = int(_REACH_MM / _GRID_MM)
    offsets = torch.cartesian_prod(*[torch.arange(-reach, reach + 1)] * 3)
    offsets = offsets[offsets.square().sum(-1) <= reach**2]
    voxels = ((arteries.points - corner) / _GRID_MM).round().int()[:, None] + offsets
    distance = (voxels * _GRID_MM + corner - arteries.points[:, None]).norm(dim=-1) - arteries.radius[:, None]
    flat = (voxels[..., 0] * h + voxels[..., 1]) * w + voxels[..., 2]
    nearness = torch.zeros(d * h * w)
    # Nearness instead of distance, so that what lies outside the grid reads 0: out of reach.
    nearness.scatter_reduce_(0, flat.flatten().long(), (_NEAR_MM - distance).clamp(min=0).flatten(), "amax")
    return _NEAR_MM - sample(nearness.view(d, h, w), points - corner, (_GRID_MM,) * 3)


def _grown(mask: Tensor, reach: int) -> Tensor:
    """(B, D, H, W), bool: a mask grown to cubes of `reach` voxels in each direction."""
    grown = mask.float()
    for axis in range(3):
        kernel = [2 * reach + 1 if axis == other else 1 for other in range(3)]
        grown = F.max_pool3d(grown, kernel, 1, [length // 2 for length in kernel])
    return grown > 0


def _touching(mask: NDArray[np.bool_], seed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    neighbours = np.ones((3, 3, 3), bool)
    pieces, _ = ndimage.label(mask, neighbours)
    touching = np.unique(pieces[ndimage.binary_dilation(seed, neighbours) & mask])
    kept: NDArray[np.bool_] = np.isin(pieces, touching[touching > 0])
    return kept
