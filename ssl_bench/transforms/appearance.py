"""Random changes of appearance for contrastive views: noise, blur, brightness, contrast, resolution, gamma.

Kinds, order and probabilities follow the 3D SimCLR of nnssl; the strength of the noise, which depends on the scale of
the intensities, is chosen here for [0, 1]. On one channel the recipe leaves 35 of 100 samples as they are, so that two
views may differ in place alone: here at least one change happens, the others as often as they do in the recipe's other
65 of 100.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.transforms.separable import filter_axes, gaussian_matrix, low_resolution_matrix

LARGEST_NOISE = 0.1
TINY = 1e-7


def random_appearance(volumes: Tensor, draws: Draws) -> Tensor:
    """Change each sample of `volumes` (B, C, D, H, W) in [0, 1] independently; the result is clamped to [0, 1]."""
    for chosen, (_, change) in zip(at_least_one(draws, [share for share, _ in RECIPE]), RECIPE, strict=True):
        volumes = torch.where(_spread(chosen), change(volumes, draws), volumes)
    return volumes.clamp(0, 1)


def at_least_one(draws: Draws, probabilities: Sequence[float]) -> list[Tensor]:
    """For each event (B,), bool: whether it happens. They are independent, given that not all fail.

    While none has happened, event i does with p_i / (1 - the probability that it and all later ones fail); so the last
    is certain if no other happened.
    """
    drawn = draws.uniform(len(probabilities))
    happens, none = [], torch.ones_like(drawn[:, 0], dtype=torch.bool)
    for i, probability in enumerate(probabilities):
        all_fail = math.prod(1 - later for later in probabilities[i + 1 :]) * (1 - probability)
        needed = 1.0 if i + 1 == len(probabilities) else probability / (1 - all_fail)
        happens.append(drawn[:, i] < torch.where(none, needed, probability))
        none = none & ~happens[-1]
    return happens


def _noise(volumes: Tensor, draws: Draws) -> Tensor:
    return volumes + _spread(draws.uniform(high=LARGEST_NOISE)) * draws.normal(*volumes.shape[1:])


def _blur(volumes: Tensor, draws: Draws) -> Tensor:
    sigma = draws.uniform(low=0.5, high=1.0)
    return filter_axes(volumes, [gaussian_matrix(n, sigma, extend=True) for n in volumes.shape[2:]])


def _brightness(volumes: Tensor, draws: Draws) -> Tensor:
    return volumes * _spread(draws.uniform(low=0.75, high=1.25))


def _contrast(volumes: Tensor, draws: Draws) -> Tensor:
    """Stretch around the mean without leaving the sample's own range."""
    mean = volumes.mean(dim=(2, 3, 4), keepdim=True)
    low, high = _range(volumes)
    return ((volumes - mean) * _spread(draws.uniform(low=0.75, high=1.25)) + mean).clamp(low, high)


def _low_resolution(volumes: Tensor, draws: Draws) -> Tensor:
    """Down to half the voxels of each axis at least, and up again; always one voxel less, or nothing would change."""
    zoom = draws.uniform(low=0.5, high=1 - 0.5 / min(volumes.shape[2:]))
    return filter_axes(volumes, [low_resolution_matrix(n, zoom) for n in volumes.shape[2:]])


def _gamma(volumes: Tensor, draws: Draws, inverted: bool) -> Tensor:
    """Raise to a power in 0.7 to 1.5, below and above 1 equally often, keeping mean and deviation."""
    below = draws.uniform(low=0.7, high=1.0)
    above = draws.uniform(low=1.0, high=1.5)
    power = _spread(torch.where(draws.chance(0.5), below, above))
    low, high = _range(volumes)
    unit = (volumes - low) / (high - low + TINY)
    raised = 1 - (1 - unit).clamp(min=0).pow(power) if inverted else unit.clamp(min=0).pow(power)
    old_deviation, old_mean = torch.std_mean(volumes, dim=(2, 3, 4), keepdim=True)
    new_deviation, new_mean = torch.std_mean(raised, dim=(2, 3, 4), keepdim=True)
    return (raised - new_mean) * (old_deviation / (new_deviation + TINY)) + old_mean


RECIPE: tuple[tuple[float, Callable[[Tensor, Draws], Tensor]], ...] = (
    (0.1, _noise),
    # Blur and resolution choose a sample and then each of its channels with one half, of which there is one here.
    (0.2 / 2, _blur),
    (0.15, _brightness),
    (0.15, _contrast),
    (0.1 / 2, _low_resolution),
    (0.1, partial(_gamma, inverted=True)),
    (0.3, partial(_gamma, inverted=False)),
)
"""The changes of nnssl in its order, each with its probability."""


def _range(volumes: Tensor) -> tuple[Tensor, Tensor]:
    return volumes.amin(dim=(2, 3, 4), keepdim=True), volumes.amax(dim=(2, 3, 4), keepdim=True)


def _spread(values: Tensor) -> Tensor:
    """One value per sample, shaped to act on (B, C, D, H, W)."""
    return values.view(-1, 1, 1, 1, 1)
