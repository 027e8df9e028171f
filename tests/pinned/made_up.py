"""Volumes and cases that no change of the embedded cohort changes, and how tensors become a few numbers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ssl_bench.api.cases import Case

Numbers = list[float]


def smooth_volume(seed: int, size: tuple[int, int, int] = (40, 36, 36)) -> NDArray[np.float32]:
    """Blurred noise (D, H, W) in [0, 1]."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=size), 2.0)
    return ((noise - noise.min()) / (noise.max() - noise.min())).astype(np.float32)


def labelled_volume(seed: int, classes: int, size: tuple[int, int, int] = (40, 36, 36)) -> NDArray[np.uint8]:
    """The same noise cut into background and `classes` structures of about one size."""
    volume = smooth_volume(seed, size)
    edges = np.quantile(volume, np.linspace(0.3, 1, classes + 1)[:-1])
    return np.digitize(volume, edges).astype(np.uint8)


def case(seed: int, classes: int | None, size: tuple[int, int, int] = (24, 20, 20)) -> Case:
    """A segmented case of so many `classes`; without them one of a class that alternates."""
    label = seed % 2 if classes is None else labelled_volume(seed, classes, size)
    return Case(f"case-{seed}", smooth_volume(seed, size), label, (1.0, 1.5, 2.0))


def batch(*seeds: int, channels: int = 1) -> Tensor:
    """Smooth volumes (B, channels, 32, 32, 32)."""
    found = [[smooth_volume(100 * channel + seed, (32, 32, 32)) for channel in range(channels)] for seed in seeds]
    return torch.from_numpy(np.array(found))


def summary(*tensors: Tensor) -> Numbers:
    """Two numbers a tensor, near 1 times its size and near 1: they change with its values, signs and their places."""
    found = []
    for tensor in tensors:
        values = tensor.detach().double().contiguous().flatten()
        size = values.square().mean().sqrt()
        wave = torch.arange(len(values), dtype=torch.float64).cos()
        found += [float(size), float((values / size.clamp_min(1e-30) + wave).square().mean().sqrt())]
    return found
