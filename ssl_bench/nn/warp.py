"""Affine and dense warps in one coordinate convention.

* A position is a voxel index: voxel (0, 0, 0) is the centre of the first voxel, (D-1, H-1, W-1) of the last.
* Displacements and grids have three channels in the order of the tensor's axes, (D, H, W) = (z, y, x), in voxels.
* Matrices act on columns (x, y, z), as in the GVSL paper; they are reordered here and nowhere else.
* An affine acts about the centre of the volume, so that a rotation is a true rotation of isotropic voxels whatever
  the shape of the volume. Its translation is in voxels.
* All maps are backward maps: `out(p) = in(p + displacement(p))`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.nn.cpu.trilinear import MOST_ROWS, sample_channels
from ssl_bench.nn.transfer import constant

MANY_CHANNELS = 8
"""With at least so many channels, resampling rows of channels is faster on a processor than resampling volumes."""
AffineForm = Literal["released", "eq8", "figure"]
CompositionOrder = Literal["affine_of_deformed", "eq9"]


def affine_matrix(
    rotation: Tensor, scale: Tensor, translation: Tensor, shear: Tensor, form: AffineForm = "released"
) -> Tensor:
    """The affine [M | t] of GVSL, (B, 3, 4), acting on columns (x, y, z, 1); differentiable in every argument.

    `rotation` (B, 3): radians about x, y, z. `scale` (B, 3). `translation` (B, 3): voxels along x, y, z.
    `shear` (B, 6): xy, xz, yx, yz, zx, zy.

    "released" is the published code: M = Shear Scale Rz Ry Rx with the tangents of shear angles in radians, and t is
    appended. "eq8" is GVSL supplement Eq. 8: Rz Ry Rx Scale Shear Translation as a homogeneous product, so t is
    rotated, scaled and sheared too; shear values are used as they are, in the transposed layout. "figure" is the
    supplement's Fig. 4b without its misprints: Rz Ry Rx [K | t], K with scales on the diagonal and shears as they are
    beside it.
    """
    if form not in get_args(AffineForm):
        raise ValueError(f"unknown affine form {form!r}: use {', '.join(get_args(AffineForm))}")
    turn = _rotation_matrix(rotation)
    stretch = torch.diag_embed(scale)
    if form == "released":
        matrix = _product(_shear_matrix(shear.tan()), stretch, turn)
        column = translation.unsqueeze(-1)
    elif form == "figure":
        matrix = _product(turn, _shear_matrix(shear) + stretch - torch.eye(3, dtype=turn.dtype, device=turn.device))
        column = _product(turn, translation.unsqueeze(-1))
    else:
        matrix = _product(turn, stretch, _shear_matrix(shear).mT)
        column = _product(matrix, translation.unsqueeze(-1))
    return torch.cat([matrix, column], dim=-1)


def affine_displacement(matrix: Tensor, size: Sequence[int]) -> Tensor:
    """The dense field A(p) - p, (B, 3, D, H, W) in voxels, of an affine `matrix` (B, 3, 4)."""
    grid = identity_grid(size, matrix.device, matrix.dtype)
    return _moved(matrix, grid, size) - grid


def compose(matrix: Tensor, displacement: Tensor, order: CompositionOrder = "affine_of_deformed") -> Tensor:
    """One dense field (B, 3, D, H, W) from an affine (B, 3, 4) and a displacement u (B, 3, D, H, W), in voxels.

    "affine_of_deformed": A(p + u(p)) - p, what the published code reaches with two resamplings: u lives on the grid
    on which it was predicted. "eq9": u(A(p)) + A(p) - p, GVSL supplement Eq. 9, with u continued by its border value
    where A(p) leaves the grid. A single `warp` with the result avoids the blur of interpolating twice.
    """
    size = displacement.shape[2:]
    displacement = displacement.to(torch.promote_types(displacement.dtype, torch.float32))
    matrix = matrix.to(displacement.dtype)
    grid = identity_grid(size, displacement.device, displacement.dtype)
    if order == "affine_of_deformed":
        return _moved(matrix, grid + displacement, size) - grid
    if order == "eq9":
        target = _moved(matrix, grid, size)
        return _sample(displacement, target, padding="border") + target - grid
    raise ValueError(f"unknown order of composition {order!r}: use 'affine_of_deformed' or 'eq9'")


def warp(volume: Tensor, displacement: Tensor) -> Tensor:
    """Resample `volume` (B, C, D, H, W) once, trilinearly: out(p) = volume(p + displacement(p)), zeros outside.

    `displacement` (B, 3, D, H, W) is in voxels, channels (D, H, W). Zero displacement is the identity on every size
    (up to the rounding of float32 coordinates, a few 1e-6 voxel). Half precision is computed in float32.
    """
    dtype = torch.promote_types(torch.promote_types(volume.dtype, displacement.dtype), torch.float32)
    displacement = displacement.to(dtype)
    grid = identity_grid(displacement.shape[2:], displacement.device, dtype)
    return _sample(volume.to(dtype), grid + displacement, padding="zeros")


def identity_grid(
    size: Sequence[int], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """The position of every voxel, (1, 3, D, H, W), channels (D, H, W)."""
    axes = [torch.arange(n, device=device, dtype=dtype) for n in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).unsqueeze(0)


def _sample(volume: Tensor, position: Tensor, padding: Literal["zeros", "border"]) -> Tensor:
    """`volume` at `position` (B, 3, D, H, W) in voxels; both ends of an axis are voxel centres (align_corners)."""
    position = position.expand(len(volume), *position.shape[1:])
    on_processor = volume.device.type == "cpu"
    with torch.autocast(volume.device.type, enabled=False):
        voxels = max(each[:, 0].numel() for each in (volume, position))
        if on_processor and padding == "zeros" and volume.shape[1] >= MANY_CHANNELS and voxels < MOST_ROWS:
            return sample_channels(volume, position)
        if padding == "zeros" and 1 in volume.shape[2:]:
            # PyTorch reads the one voxel of an axis wherever it is asked; so let there be a second.
            volume = F.pad(volume, [extra for n in reversed(volume.shape[2:]) for extra in (0, int(n == 1))])
        last = constant([max(n - 1, 1) for n in volume.shape[2:]], position, position.dtype)
        # Divide, then double and shift: of the equivalent orders the one that rounds least.
        normalised = position / last.view(1, 3, 1, 1, 1) * 2 - 1
        # PyTorch gives each thread of a processor whole volumes: where there are fewer, each channel goes by itself.
        parts = volume.shape[1] if on_processor and len(volume) < torch.get_num_threads() else 1
        each = volume.reshape(len(volume) * parts, -1, *volume.shape[2:])
        grid = normalised.flip(1).movedim(1, -1).repeat_interleave(parts, dim=0)
        sampled = F.grid_sample(each, grid, mode="bilinear", padding_mode=padding, align_corners=True)
    return sampled.reshape(len(volume), -1, *position.shape[2:])


def _moved(matrix: Tensor, position: Tensor, size: Sequence[int]) -> Tensor:
    """A(position) about the volume's centre; sums of products, since a matmul may round to TF32 or bfloat16."""
    linear = matrix[:, :, :3].flip(1, 2).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
    shift = matrix[:, :, 3].flip(1).view(-1, 3, 1, 1, 1)
    centre = constant([(n - 1) / 2 for n in size], matrix, matrix.dtype).view(1, 3, 1, 1, 1)
    offset = position - centre
    moved = linear[:, :, 0] * offset[:, 0:1] + linear[:, :, 1] * offset[:, 1:2] + linear[:, :, 2] * offset[:, 2:3]
    return moved + (centre + shift)


def _rotation_matrix(angles: Tensor) -> Tensor:
    """Rz Ry Rx, (B, 3, 3), of radians about x, y, z (B, 3)."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    zero, one = torch.zeros_like(cx), torch.ones_like(cx)
    about_x = _matrix([one, zero, zero, zero, cx, -sx, zero, sx, cx])
    about_y = _matrix([cy, zero, sy, zero, one, zero, -sy, zero, cy])
    about_z = _matrix([cz, -sz, zero, sz, cz, zero, zero, zero, one])
    return _product(about_z, about_y, about_x)


def _shear_matrix(shear: Tensor) -> Tensor:
    xy, xz, yx, yz, zx, zy = shear.unbind(-1)
    one = torch.ones_like(xy)
    return _matrix([one, xy, xz, yx, one, yz, zx, zy, one])


def _matrix(entries: list[Tensor]) -> Tensor:
    return torch.stack(entries, dim=-1).view(-1, 3, 3)


def _product(*matrices: Tensor) -> Tensor:
    """The matrix product in full precision independent of autocast and TF32 settings."""
    return reduce(lambda left, right: (left.unsqueeze(-1) * right.unsqueeze(-3)).sum(-2), matrices)
