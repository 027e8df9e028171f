"""Shifts of intensities: noise, a bias field, contrast. Images (C, D, H, W) in [0, 1] in and out; labels stay."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
BIAS_ORDER = 3
"""Of the polynomial that a bias field is the exponential of."""


def noisy(image: Image, deviation: float, generator: np.random.Generator) -> Image:
    """White Gaussian noise of that standard deviation, independent in every voxel and channel; clipped to [0, 1].

    Scans are clipped to their window after the scanner added noise, so that the noise of what lies at its ends is
    halved here too.
    """
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    found: Image = np.clip(image + np.float32(deviation) * noise, 0, 1)
    return found


def biased(image: Image, factor: float, generator: np.random.Generator) -> Image:
    """Times a smooth field between 1 / `factor` and `factor`, the same for all channels; clipped to [0, 1]."""
    found: Image = np.clip(image * bias_field(image.shape[1:], factor, generator), 0, 1)
    return found


def bias_field(size: tuple[int, ...], factor: float, generator: np.random.Generator) -> Image:
    """(D, H, W): the exponential of a random polynomial of order 3, of which the largest value in size is log `factor`.

    The model of a scanner's bias field in Van Leemput et al. (IEEE TMI 1999, 18:885), section II: a linear combination
    of smooth basis functions, here the products of powers of the coordinates from -1 to 1, with coefficients uniform on
    -1 to 1 and without the constant, which would be brightness.
    """
    axes = np.meshgrid(*(np.linspace(-1, 1, length) for length in size), indexing="ij", sparse=True)
    field = np.zeros(size)
    for powers in itertools.product(range(BIAS_ORDER + 1), repeat=len(size)):
        if 0 < sum(powers) <= BIAS_ORDER:
            z, y, x = (axis**power for axis, power in zip(axes, powers, strict=True))
            field += generator.uniform(-1, 1) * z * y * x
    found: Image = np.exp(np.log(factor) * field / np.abs(field).max()).astype(np.float32)
    return found


def with_gamma(image: Image, power: float, generator: np.random.Generator) -> Image:
    """Every intensity to that power, or to its inverse with one half: darker or brighter between the same ends."""
    found: Image = image ** np.float32(power if generator.random() < 0.5 else 1 / power)
    return found
