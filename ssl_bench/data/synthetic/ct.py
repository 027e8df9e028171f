"""The CT scanner: tissue in HU becomes an image as preprocessed in the paper."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.anatomy import Triple

AIR = -1024.0


def acquire(
    hu: Tensor,
    spacing_mm: Triple,
    draws: Draws,
    cuts: bool = True,
    kernel_mm: tuple[float, float] = (0.3, 1.3),
) -> tuple[Tensor, Tensor]:
    """Scan B subjects: blur, dose, and with `cuts` sometimes a round field of view or missing end slices.

    `kernel_mm` is the range from sharp to soft reconstruction kernels, as standard deviations of their blur.

    Returns the image (B, D, H, W) in [0, 1], clip(HU + 1024, 0, 2048) / 2048, and what the scan covers
    (B, D, H, W), bool; labels outside it do not count.
    """
    # The voxels themselves already blur by their own size.
    hu = blur(hu, spacing_mm, draws.uniform(low=kernel_mm[0], high=kernel_mm[1]))
    white = draws.normal(*hu.shape[1:])
    # Reconstruction correlates noise over a few millimetres; below that, voxels average it away.
    grain = blur(draws.normal(*hu.shape[1:]), (1.0, 1.0, 1.0), draws.uniform(low=0.5, high=1.1))
    grain = grain / grain.std((1, 2, 3), keepdim=True)
    dose = draws.uniform(1, 1, 1, low=6.0, high=32.0)
    hu = hu + dose * (0.5 * white + 0.87 * grain) + draws.normal(1, 1, 1) * 6.0
    seen = _coverage(hu, draws) if cuts else torch.ones_like(hu, dtype=torch.bool)
    return ((torch.where(seen, hu, AIR) + 1024).clamp(0, 2048) / 2048), seen


def blur(volume: Tensor, spacing_mm: Triple, sigma_mm: Tensor) -> Tensor:
    """(B, D, H, W): each volume smoothed by its own isotropic Gaussian, `sigma_mm` (B,), edges replicated."""
    for axis, step in enumerate(spacing_mm):
        sigma = (sigma_mm / step).clamp(min=0.05)
        reach = max(1, int(3 * float(sigma.max()) + 0.5))
        offsets = torch.arange(-reach, reach + 1)
        kernel = torch.exp(-offsets.square() / (2 * sigma.square()[:, None]))
        kernel = kernel / kernel.sum(1, keepdim=True)
        length = volume.shape[axis + 1]
        blurred = torch.zeros_like(volume)
        for tap, offset in enumerate(offsets.tolist()):
            rows = (torch.arange(length) + offset).clamp(0, length - 1)
            blurred += kernel[:, tap, None, None, None] * volume.index_select(axis + 1, rows)
        volume = blurred
    return volume


def _coverage(hu: Tensor, draws: Draws) -> Tensor:
    """(B, D, H, W), bool: inside the round reconstruction field and the scanned slices."""
    _, depth, height, width = hu.shape
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)
    radius = torch.where(draws.chance(0.3), draws.uniform(low=0.97, high=1.2), 2.0)
    disc = (y.square() + x.square())[None, None] < radius[:, None, None, None].square()
    missing = (draws.uniform(2, high=0.08) * draws.chance(0.3, 2) * depth).round()
    slices = torch.arange(depth)
    scanned = (slices >= missing[:, :1]) & (slices < depth - missing[:, 1:])
    return disc & scanned[:, :, None, None]
