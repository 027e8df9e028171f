"""Reading an anatomy at warped coordinates: twice finer than the voxels asked for, then pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.anatomy import Anatomy, Triple
from ssl_bench.data.synthetic.fields import smooth_noise
from ssl_bench.data.synthetic.warps import Family, Variation, anatomy_points

SUPERSAMPLING = 2
"""Subvoxels per voxel along each axis: enough to pool away what the voxel grid cannot carry."""


def voxel_grid(field_of_view_mm: Triple, spacing_mm: Triple, detail: float) -> tuple[tuple[int, int, int], Triple]:
    """Shape (D, H, W) and spacing in mm of a field of view at a level of detail."""
    d, h, w = (step / detail for step in spacing_mm)
    sizes = zip(field_of_view_mm, (d, h, w), strict=True)
    depth, height, width = (max(1, round(size / step)) for size, step in sizes)
    return (depth, height, width), (d, h, w)


@dataclass
class Scene:
    """B subjects at subvoxel resolution, before the scanner. Change `image` and `labels` to change the subjects."""

    points: Tensor
    """(B, D, H, W, 3), mm: anatomy coordinates of each subvoxel."""
    grid: Tensor
    """(B, D, H, W, 3): the same as `grid_sample` wants them."""
    image: Tensor
    """(B, D, H, W), float32, HU or T1 units."""
    labels: Tensor
    """(B, D, H, W), int16, the anatomy's own label values."""
    spacing_mm: Triple
    """Spacing of the voxels that `pool` returns, not of the subvoxels."""

    def read(self, volume: Tensor) -> Tensor:
        """(B, D, H, W): a volume on the anatomy's grid, seen by the subjects; see `sample`."""
        return _read(volume, self.grid)

    def noise(self, draws: Draws, wavelength_mm: float) -> Tensor:
        """(B, D, H, W): smooth noise of about unit variance on the subvoxels."""
        d, h, w = (step / SUPERSAMPLING for step in self.spacing_mm)
        return smooth_noise(draws, self.image.shape[1:], (d, h, w), wavelength_mm)


def grow_scene(
    anatomy: Anatomy,
    family: Family,
    draws: Draws,
    shape: tuple[int, int, int],
    spacing_mm: Triple,
    variation: Variation,
    centre_mm: Triple | None = None,
) -> Scene:
    """B warped subjects, one per stream of `draws`; `shape` (D, H, W) and `spacing_mm` are those of the final voxels.

    The field of view is centred on `centre_mm` of the anatomy, by default the middle of its labelled region.
    """
    fine_shape = [length * SUPERSAMPLING for length in shape]
    d, h, w = (step / SUPERSAMPLING for step in spacing_mm)
    points = anatomy_points(family, draws, fine_shape, (d, h, w), centre_mm or anatomy.centre_mm, variation)
    grid = _normalised(points, anatomy.image.shape, anatomy.spacing_mm)
    # The outside of the anatomy looks like its darkest voxel: air.
    floor = float(anatomy.derive("floor", lambda: anatomy.image.min()))
    image = _read(anatomy.derive("above floor", lambda: anatomy.image - floor), grid) + floor
    return Scene(points, grid, image, _read(anatomy.labels, grid), spacing_mm)


def sample(volume: Tensor, points: Tensor, spacing_mm: Triple) -> Tensor:
    """(B, D, H, W): a (D, H, W) volume of voxel size `spacing_mm` read at `points` (B, D, H, W, 3) in mm.

    Floating-point volumes are interpolated linearly, whole-number and Boolean ones take the nearest voxel and keep
    their type. Outside the volume it reads 0.
    """
    return _read(volume, _normalised(points, volume.shape, spacing_mm))


def _read(volume: Tensor, grid: Tensor) -> Tensor:
    values = F.grid_sample(
        volume.float().expand(len(grid), 1, *volume.shape),
        grid,
        mode="bilinear" if volume.is_floating_point() else "nearest",
        align_corners=True,
    )
    return values[:, 0].to(volume.dtype)


def _normalised(points: Tensor, shape: Sequence[int], spacing_mm: Triple) -> Tensor:
    """Points in mm (z, y, x) as (x, y, z) in [-1, 1] over a volume."""
    scales = [2 / ((length - 1) * step) for length, step in zip(shape, spacing_mm, strict=True)]
    parts = [part * scale - 1 for part, scale in zip(points.unbind(-1), scales, strict=True)]
    return torch.stack(parts[::-1], -1)


def pool(scene: Scene) -> tuple[Tensor, Tensor]:
    """Image (B, D, H, W) float32 by mean and labels (B, D, H, W) int16 by majority, at `scene.spacing_mm`."""
    image = F.avg_pool3d(scene.image[:, None], SUPERSAMPLING)[:, 0]
    batch, *fine = scene.labels.shape
    d, h, w = (length // SUPERSAMPLING for length in fine)
    blocks = scene.labels.reshape(batch, d, SUPERSAMPLING, h, SUPERSAMPLING, w, SUPERSAMPLING)
    votes = blocks.permute(0, 1, 3, 5, 2, 4, 6).flatten(4)
    support = torch.zeros_like(votes, dtype=torch.uint8)
    for step in range(1, votes.shape[-1]):
        support += votes == votes.roll(step, -1)
    return image, votes.gather(-1, support.argmax(-1, keepdim=True))[..., 0]


def class_indices(labels: Tensor, values: Sequence[int]) -> Tensor:
    """Label values to class indices, uint8: 1 for the first of `values` and so on, 0 for any other."""
    indices = torch.zeros(2**15, dtype=torch.uint8)
    indices[list(values)] = torch.arange(1, len(values) + 1, dtype=torch.uint8)
    return indices[labels.long()]
