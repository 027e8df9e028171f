"""GVSL's transform set T block by block in NumPy, the way the published codes go: what the batched one is beside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float32]
CURVE_SAMPLES = 100_000
IN_PAINTING_BLOCKS = 30
CONTINUE = 0.95
MARGIN = 3


def corrupt(volume: Volume, generator: np.random.Generator, blocks: int, shuffled: bool, mapped: bool) -> Volume:
    """Volume (D, H, W) in [0, 1]: shuffling of so many `blocks`, intensities, in-painting; the gates are given."""
    corrupted = shuffle(volume, generator, blocks) if shuffled else volume
    return in_paint(map_intensities(corrupted, generator) if mapped else corrupted, generator)[0]


def shuffle(volume: Volume, generator: np.random.Generator, blocks: int) -> Volume:
    """One permutation for all blocks; sources are read from the untouched volume, later blocks overwrite."""
    sides = [max(2, n // 20) for n in volume.shape]
    order = generator.permutation(int(np.prod(sides)))
    out = volume.copy()
    for _ in range(blocks):
        place = _box([int(generator.integers(n - side)) for n, side in zip(volume.shape, sides, strict=True)], sides)
        out[place] = volume[place].ravel()[order].reshape(sides)
    return out


def map_intensities(volume: Volume, generator: np.random.Generator) -> Volume:
    """A cubic Bezier curve through two random points, read by interpolation; always rising."""
    (x1, y1), (x2, y2) = generator.random((2, 2))
    t = np.linspace(0, 1, CURVE_SAMPLES)
    inner = 3 * t * (1 - t)
    x = np.sort(inner * ((1 - t) * x1 + t * x2) + t**3)
    y = np.sort(inner * ((1 - t) * y1 + t * y2) + t**3)
    mapped: Volume = np.interp(volume, x, y).astype(np.float32)
    return mapped


def in_paint(volume: Volume, generator: np.random.Generator) -> tuple[Volume, int]:
    """Noise in up to 30 boxes, before each of which it stops with probability 0.05; and how many there were."""
    out = volume.copy()
    count = 0
    while count < IN_PAINTING_BLOCKS and generator.random() < CONTINUE:
        sides = [int(generator.integers(n // 10, n // 5)) for n in volume.shape]
        starts = [
            int(generator.integers(MARGIN, n - side - MARGIN)) for n, side in zip(volume.shape, sides, strict=True)
        ]
        out[_box(starts, sides)] = generator.random(sides)
        count += 1
    return out, count


def _box(starts: list[int], sides: list[int]) -> tuple[slice, ...]:
    return tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))
