"""Smooth invertible warps: which point of the anatomy each voxel of a grown subject shows.

A warp is the flow of a random stationary velocity field (scaling and squaring) after a small affine map. The velocity
comes from one of four families that differ in kind, so that no split shows the deformations of another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.anatomy import Triple
from ssl_bench.data.synthetic.fields import cubic_weights, linear_weights, spread

Family = Literal["grid", "waves", "polyaffine", "bumps"]
FAMILY: dict[str, Family] = {
    "corpus": "grid",
    "held-out": "grid",
    "train": "waves",
    "validation": "polyaffine",
    "test": "bumps",
}
"""The family of each split. The held-out part of the corpus is a sample of the corpus, so it shares the family."""

_NODES = 28
_SQUARINGS = 6


@dataclass(frozen=True)
class Variation:
    """How strongly the subjects of a cohort differ in shape and position."""

    displacement_mm: float
    """Root mean square displacement of the flow; each subject draws 0.6 to 1.2 times this."""
    rotation_deg: float
    """Largest rotation about each axis."""
    scale: float
    """Largest relative change of size along each axis."""
    shift_mm: float
    """Largest shift of the field of view along each axis."""
    size: float = 1.0
    """Mean size of the subjects relative to the anatomy."""


def anatomy_points(
    family: Family, draws: Draws, shape: Sequence[int], spacing_mm: Triple, centre_mm: Triple, variation: Variation
) -> Tensor:
    """(B, D, H, W, 3), mm: the anatomy coordinates (z, y, x) that the voxel centres of B subjects show.

    The field of view of `shape` (D, H, W) voxels has its middle at `centre_mm` of the anatomy, give or take the drawn
    shift. Every map has a positive Jacobian determinant.
    """
    extent = torch.tensor([length * step for length, step in zip(shape, spacing_mm, strict=True)])
    nodes = _unit_nodes()
    flow = _flow(_VELOCITIES[family], draws, nodes, extent, variation.displacement_mm)
    matrix, shift = _affine(draws, variation)
    # Linear interpolation from the nodes reproduces the affine part exactly.
    places = torch.einsum("bjk,bdhwk->bjdhw", matrix, nodes * extent + torch.movedim(flow, 1, -1))
    places = places + (shift + torch.tensor(centre_mm))[:, :, None, None, None]
    middles = [((torch.arange(length) + 0.5) / length) * (_NODES - 1) for length in shape]
    points = spread(places, [linear_weights(positions, _NODES) for positions in middles])
    return torch.movedim(points, 1, -1)


def _unit_nodes() -> Tensor:
    """(N, N, N, 3): nodes from border to border of the field of view, which is [-1/2, 1/2] along each axis."""
    axis = torch.linspace(-0.5, 0.5, _NODES)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)


def _flow(
    velocities: Callable[[Draws, Tensor], Tensor], draws: Draws, nodes: Tensor, extent: Tensor, rms_mm: float
) -> Tensor:
    """(B, 3, N, N, N), mm: displacement of the flow at the nodes."""
    velocity = velocities(draws, nodes)
    rms = velocity.square().sum(1).mean((1, 2, 3)).sqrt()[:, None, None, None, None]
    target = rms_mm * draws.uniform(1, 1, 1, 1, low=0.6, high=1.2)
    flow = velocity * (target / rms) / (1 << _SQUARINGS)
    # grid_sample wants (x, y, z) in [-1, 1]; nodes are half of that.
    towards = (2 / extent).flip(0)
    for _ in range(_SQUARINGS):
        here = 2 * nodes.flip(-1) + torch.movedim(flow, 1, -1).flip(-1) * towards
        flow = flow + F.grid_sample(flow, here, padding_mode="border", align_corners=True)
    return flow


def _grid(draws: Draws, nodes: Tensor) -> Tensor:
    """Random velocities on 5 x 5 x 5 control points, between them a cubic B-spline."""
    weights = cubic_weights(torch.linspace(0, 4, len(nodes)), 5)
    return spread(draws.normal(3, 5, 5, 5), [weights] * 3)


def _waves(draws: Draws, nodes: Tensor) -> Tensor:
    """A sum of sines of low frequency, each with its own direction, phase and polarisation."""
    count = 6
    direction = F.normalize(draws.normal(count, 3), dim=-1) * draws.uniform(count, 1, low=0.6, high=1.9)
    phase = draws.uniform(count, high=2 * math.pi)
    angle = 2 * math.pi * torch.einsum("dhwk,bnk->bndhw", nodes, direction) + phase[..., None, None, None]
    return torch.einsum("bndhw,bnk->bkdhw", angle.sin(), F.normalize(draws.normal(count, 3), dim=-1))


def _polyaffine(draws: Draws, nodes: Tensor) -> Tensor:
    """Eight regions, each with an affine velocity of its own, blended smoothly."""
    count = 8
    offset = nodes - draws.uniform(count, 1, 1, 1, 3, low=-0.5, high=0.5)
    weight = torch.softmax(-offset.square().sum(-1) / (2 * 0.16**2), dim=1)
    matrix = draws.normal(count, 3, 3)
    velocity = torch.einsum("bndhwk,bnjk->bnjdhw", offset, matrix) + 0.4 * draws.normal(count, 3)[..., None, None, None]
    return torch.einsum("bndhw,bnjdhw->bjdhw", weight, velocity)


def _bumps(draws: Draws, nodes: Tensor) -> Tensor:
    """Local swellings, shrinkages and twists: each turns and scales its own neighbourhood."""
    count = 20
    offset = nodes - draws.uniform(count, 1, 1, 1, 3, low=-0.5, high=0.5)
    width = draws.uniform(count, 1, 1, 1, low=0.12, high=0.22)
    swell = draws.normal(count)[:, :, None, None] * torch.eye(3)
    turn = 1.4 * draws.normal(count, 3)
    local = torch.einsum("bndhwk,bnjk->bnjdhw", offset, swell + _cross_product(turn))
    window = torch.exp(-offset.square().sum(-1) / (2 * width.square()))
    return torch.einsum("bndhw,bnjdhw->bjdhw", window, local)


_VELOCITIES: dict[Family, Callable[[Draws, Tensor], Tensor]] = {
    "grid": _grid,
    "waves": _waves,
    "polyaffine": _polyaffine,
    "bumps": _bumps,
}


def _affine(draws: Draws, variation: Variation) -> tuple[Tensor, Tensor]:
    """(B, 3, 3) and (B, 3): rotation times scale, and the shift in mm."""
    reach = math.radians(variation.rotation_deg)
    rotation = torch.matrix_exp(_cross_product(draws.uniform(3, low=-reach, high=reach)))
    # A larger subject shows less of the anatomy per millimetre.
    scale = draws.uniform(3, low=-variation.scale, high=variation.scale).exp() / variation.size
    shift = draws.uniform(3, low=-variation.shift_mm, high=variation.shift_mm)
    return rotation * scale[:, None], shift


def _cross_product(vector: Tensor) -> Tensor:
    """(..., 3, 3): the matrix of the cross product with a (..., 3) vector."""
    z, y, x = vector.unbind(-1)
    zero = torch.zeros_like(z)
    rows = (zero, -x, y, x, zero, -z, -y, z, zero)
    return torch.stack(rows, -1).reshape(*vector.shape, 3)
