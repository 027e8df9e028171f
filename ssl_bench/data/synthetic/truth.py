"""Where a place of one grown subject lies in another: the inverse of the other's map after the one's own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 12
"""Of Newton's iteration at most; from its start, at most a few voxels off, it needs about five."""
ACCURACY = 0.02
"""Voxels: what is still farther from a solution has none in the field of view."""
_COARSE = 4
"""One voxel of so many along each axis is a candidate for the start."""
_TOGETHER = 8_192
"""Places that are inverted at once, which bounds memory."""


class Truth:
    """Knows for every voxel of every subject which point of the anatomy it shows, and so the partners of any two."""

    def __init__(self, points: Mapping[str, Tensor]) -> None:
        """`points` (D, H, W, 3) by subject: anatomy coordinates in mm of its voxel centres."""
        self._points = points

    def partners(self, source: str, target: str, voxels: Tensor) -> Tensor:
        """(N, 3): the places of `target`, in voxels, that show what `voxels` (N, 3) of `source` show; NaN for none."""
        return inverted(self._points[target], _at(self._points[source], voxels))


def inverted(points: Tensor, wanted: Tensor) -> Tensor:
    """(N, 3): the places, in voxels, at which the map `points` (D, H, W, 3) takes the values `wanted` (N, 3); else NaN.

    Newton's iteration q <- q + J(q)^-1 (wanted - points(q)) from the nearest of every fourth voxel, with central
    differences for J. The map is trilinear between voxels and has a positive Jacobian, so that there is one solution at
    most; outside the field of view there is none.
    """
    return (
        torch.cat([_inverted(points, some) for some in torch.split(wanted, _TOGETHER)])
        if len(wanted)
        else wanted.clone()
    )


def _inverted(points: Tensor, wanted: Tensor) -> Tensor:
    last = torch.tensor(points.shape[:3]) - 1.0
    coarse = points[::_COARSE, ::_COARSE, ::_COARSE]
    nearest = torch.cdist(wanted, coarse.reshape(-1, 3)).argmin(1)
    places = torch.stack(torch.unravel_index(nearest, coarse.shape[:3]), 1) * float(_COARSE)
    for _ in range(STEPS):
        step = _newton_step(points, places, wanted)
        if step.abs().amax() < ACCURACY / 100:
            break
        # A step of more than a few voxels trusts the Jacobian too far.
        places = (places + step.clamp(-_COARSE, _COARSE)).clamp(min=torch.zeros(3), max=last)
    left = _newton_step(points, places, wanted).abs().amax(1)
    return places.masked_fill(~(left <= ACCURACY)[:, None], torch.nan)


def _newton_step(points: Tensor, places: Tensor, wanted: Tensor) -> Tensor:
    """(N, 3): by how many voxels `places` (N, 3) miss `wanted`, to first order."""
    last = torch.tensor(points.shape[:3]) - 1.0
    columns = []
    for axis in range(3):
        reach = 0.5 * F.one_hot(torch.tensor(axis), 3)
        after, before = (places + reach).minimum(last), (places - reach).clamp(min=0)
        columns.append((_at(points, after) - _at(points, before)) / (after - before)[:, axis, None])
    step: Tensor = torch.linalg.solve_ex(torch.stack(columns, 2), wanted - _at(points, places)).result
    return step


def _at(points: Tensor, places: Tensor) -> Tensor:
    """(N, 3): the map `points` (D, H, W, 3) between its voxels, at `places` (N, 3)."""
    last = (torch.tensor(points.shape[:3]) - 1.0).clamp(min=1)
    grid = (2 * places / last - 1).flip(-1).view(1, 1, 1, -1, 3)
    volume = points.movedim(-1, 0)[None]
    found = F.grid_sample(volume, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return found.view(3, -1).T
