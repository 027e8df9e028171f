"""A displacement from likeness alone: coupled convex optimisation over discrete displacements.

After Heinrich, Papież, Schnabel and Handels, "Non-parametric discrete registration with convex optimisation" (WBIR
2014): the best displacement of every place, and a smooth field, are drawn towards each other step by step. All
constants stood before any row was looked at, and no option changes them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STEP = 2
"""Voxels between places, and between displacements."""
REACH = 4
"""Displacements go so many steps each way along every axis."""
COUPLINGS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Weight of the squared distance to the smooth field, in steps, against how unlike two places are, in deviations."""


def displacement(fixed: Tensor, moving: Tensor) -> Tensor:
    """(3, D, H, W), voxels: where each voxel of `fixed` lies in `moving`, both (channels, D, H, W) of unit vectors."""
    size = fixed.shape[1:]
    still, moved = (F.normalize(F.avg_pool3d(one[None], STEP, ceil_mode=True), dim=1)[0] for one in (fixed, moving))
    offsets = _offsets()
    unlikeness = _unlikeness(still, moved, offsets)
    field = _smooth(_best(unlikeness, offsets))
    flat, coupled = unlikeness.flatten(1), torch.empty_like(unlikeness)
    for weight in COUPLINGS:
        # weight * |offset - field|^2, but for what is the same for all offsets; in memory that is there already.
        torch.addmm(flat, offsets, field.flatten(1), alpha=-2 * weight, out=coupled.view_as(flat))
        coupled += weight * offsets.square().sum(1).view(-1, 1, 1, 1)
        field = _smooth(_best(coupled, offsets))
    # Places are the middles of blocks: as `align_corners=False` has them.
    fine = F.interpolate(STEP * field[None], size=[STEP * n for n in field.shape[1:]], mode="trilinear")[0]
    return fine[:, : size[0], : size[1], : size[2]]


def folded_share(field: Tensor) -> float:
    """The share of voxels at which the map p + `field`(p) has no positive Jacobian determinant, by central differences.

    `field` is (3, D, H, W) in voxels; places where it is not defined count as not folded.
    """
    columns = torch.stack(torch.gradient(field, dim=(1, 2, 3)), dim=1)
    jacobian = columns.permute(2, 3, 4, 0, 1) + torch.eye(3)
    return float((torch.linalg.det(jacobian) <= 0).double().mean())


def _offsets() -> Tensor:
    """(displacements, 3), in steps, the shortest first: of equally likely ones the first counts."""
    axis = torch.arange(-REACH, REACH + 1.0)
    every = torch.cartesian_prod(axis, axis, axis)
    return every[every.square().sum(1).argsort(stable=True)]


def _unlikeness(fixed: Tensor, moving: Tensor, offsets: Tensor) -> Tensor:
    """(displacements, d, h, w): one minus the cosine with what lies there, the mean over 3 x 3 x 3 places.

    It is in units of its standard deviation over displacements, so that features that differ little weigh as much.
    """
    depth, height, width = fixed.shape[1:]
    padded = F.pad(moving[None], [REACH] * 6, mode="replicate")[0]
    found = torch.empty(len(offsets), depth, height, width)
    for place, (z, y, x) in zip(found, (offsets.long() + REACH).tolist(), strict=True):
        there = padded[:, z : z + depth, y : y + height, x : x + width]
        torch.sub(1, torch.einsum("cdhw,cdhw->dhw", fixed, there), out=place)
    found = _mean(found[:, None])[:, 0]
    # Less than rounding is no deviation.
    return found / found.std(0).mean().clamp(min=1e-5)


def _best(unlikeness: Tensor, offsets: Tensor) -> Tensor:
    """(3, d, h, w): the displacement of the least `unlikeness` at each place, in steps."""
    return offsets[unlikeness.argmin(0)].movedim(-1, 0)


def _smooth(field: Tensor) -> Tensor:
    """(3, d, h, w): twice the mean of 3 x 3 x 3 places."""
    return _mean(_mean(field[:, None]))[:, 0]


def _mean(volumes: Tensor) -> Tensor:
    return F.avg_pool3d(F.pad(volumes, [1] * 6, mode="replicate"), 3, stride=1)
