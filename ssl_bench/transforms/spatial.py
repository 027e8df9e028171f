"""The random spatial augmentation of GVSL's published code: affine and elastic, the same for several tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.nn.transfer import constant
from ssl_bench.nn.warp import affine_matrix, compose, warp
from ssl_bench.transforms.separable import filter_axes, gaussian_matrix

REFERENCE_LENGTH = 128
"""The side of the crops, in voxels, for which the elastic constants are given."""


@dataclass(frozen=True)
class SpatialSettings:
    """Half-ranges of the affine and the strength of the elastic deformation; the defaults are GVSL's published code."""

    rotation: float = math.pi / 9
    """Half-range of the rotation about each axis, in radians."""
    scale: float = 0.25
    """Half-range of the scale around 1, along each axis."""
    shear: float = math.pi / 18
    """Half-range of each of the six shear angles, in radians."""
    translation: float = 0.05
    """Half-range of the translation, as a fraction of the extent along each axis."""
    elastic_sigma: tuple[float, float] = (10.0, 13.0)
    """Range of the width of the blur in voxels of a 128^3 crop; scales with the crop."""
    elastic_strength: float = 512.0
    """Largest factor on the blurred noise, which is uniform on -1 to 1, in voxels of a 128^3 crop."""


def random_spatial(
    tensors: Sequence[Tensor], draws: Draws, settings: SpatialSettings | None = None
) -> tuple[Tensor, ...]:
    """Warp all `tensors` (B, C_i, D, H, W) of one size by the same random transform, with one trilinear resampling.

    Zeros enter from outside. Sample b of every tensor moves alike, so the transform creates no motion between them.
    """
    settings = settings or SpatialSettings()
    size = tensors[0].shape[2:]
    if any(tensor.shape[2:] != size for tensor in tensors):
        raise ValueError(f"tensors of one transform must have one size: {[tuple(t.shape[2:]) for t in tensors]}")
    displacement = compose(_random_affine(size, draws, settings), _random_elastic(size, draws, settings))
    warped = warp(torch.cat(list(tensors), dim=1), displacement)
    return torch.split_with_sizes(warped, [tensor.shape[1] for tensor in tensors], dim=1)


def _random_affine(size: Sequence[int], draws: Draws, settings: SpatialSettings) -> Tensor:
    def symmetric(half_range: float, *shape: int) -> Tensor:
        return draws.uniform(*shape, low=-half_range, high=half_range)

    extent = constant(size[::-1], draws.device)
    return affine_matrix(
        rotation=symmetric(settings.rotation, 3),
        scale=1 + symmetric(settings.scale, 3),
        translation=symmetric(settings.translation, 3) * extent,
        shear=symmetric(settings.shear, 6),
    )


def _random_elastic(size: Sequence[int], draws: Draws, settings: SpatialSettings) -> Tensor:
    """Blurred noise (B, 3, D, H, W) in voxels, of the same shape and relative strength at every size of the crop.

    Blurring divides the deviation of the noise by the square root of each width; the strength makes up for widths that
    shrink with the crop, and shrinks with it itself.
    """
    fractions = [n / REFERENCE_LENGTH for n in size]
    sigma = draws.uniform(low=settings.elastic_sigma[0], high=settings.elastic_sigma[1])
    noise = draws.uniform(3, *size, low=-1.0, high=1.0)
    blurred = filter_axes(noise, [gaussian_matrix(n, sigma * f) for n, f in zip(size, fractions, strict=True)])
    strength = draws.uniform(high=settings.elastic_strength).view(-1, 1, 1, 1, 1) * math.sqrt(math.prod(fractions))
    return blurred * strength * constant(fractions, draws.device).view(1, 3, 1, 1, 1)
