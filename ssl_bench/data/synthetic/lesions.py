"""Tissue that no warp explains, put into a scene at anatomy coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.sampling import Scene


def paint(
    scene: Scene,
    draws: Draws,
    where: Tensor,
    chance: float,
    radius_mm: tuple[float, float],
    level: float,
    inside: Tensor,
) -> None:
    """With probability `chance`, an ellipsoid of tissue of about `level` around one of the points `where` (N, 3) mm.

    It stays inside the mask `inside` (B, D, H, W); its edge is soft.
    """
    present = draws.chance(chance)
    centres = where[(draws.uniform() * len(where)).long().clamp(max=len(where) - 1)]
    radii = draws.uniform(1, low=radius_mm[0], high=radius_mm[1]) * draws.uniform(3, low=0.7, high=1.3)
    levels = level * (1 + 0.15 * draws.normal())
    for index in present.nonzero()[:, 0].tolist():
        box = _box_around(scene.points[index], centres[index], float(radii[index].max()))
        weight = ball(scene.points[index][box], centres[index], radii[index]) * inside[index][box]
        scene.image[index][box] += weight * (levels[index] - scene.image[index][box])


def ball(points: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
    """(...): 1 inside an ellipsoid, 0 outside, soft over a fifth of the radius.

    `points` (..., 3), `centre` (3,) and the half-axes `radius` (3,) in mm.
    """
    parts = zip(points.unbind(-1), centre.tolist(), radius.tolist(), strict=True)
    reach = torch.stack([((part - middle) / half).square() for part, middle, half in parts]).sum(0).sqrt()
    return (5 * (1.1 - reach)).clamp(0, 1)


def mean_inside(scene: Scene, mask: Tensor) -> Tensor:
    """(B, 1, 1, 1): mean of the image in a mask, estimated on every 8th subvoxel."""
    few = (slice(None), *(slice(None, None, 2),) * 3)
    total = (scene.image[few] * mask[few]).sum((1, 2, 3), keepdim=True)
    return total / mask[few].sum((1, 2, 3), keepdim=True).clamp(min=1)


def _box_around(points: Tensor, centre: Tensor, radius: float) -> tuple[slice, ...]:
    """The part of one subject's (D, H, W, 3) points that holds all within `radius` of `centre`, found on every 4th."""
    stride = 4
    coarse = points[::stride, ::stride, ::stride].contiguous()
    gap = (coarse[1:, 1:, 1:] - coarse[:-1, :-1, :-1]).abs().max()
    near = ((coarse - centre).abs() < 1.1 * radius + gap).all(-1).nonzero()
    if not len(near):
        return (slice(0, 0),) * 3
    return tuple(
        slice(low * stride, (high + 1) * stride)
        for low, high in zip(near.amin(0).tolist(), near.amax(0).tolist(), strict=True)
    )
