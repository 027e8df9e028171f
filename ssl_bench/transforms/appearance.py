"""Random changes of appearance for contrastive views: noise, blur, brightness, contrast, resolution, gamma.

Kinds, order and probabilities follow the 3D SimCLR of nnssl; the strength of the noise, which depends on the scale of
the intensities, is chosen here for [0, 1]. On one channel the recipe leaves 35 of 100 samples as they are, so that two
views may differ in place alone: here at least one change happens, the others as often as they do in the recipe's other
65 of 100. Of several channels each has a strength of its own, but for the noise; blur and resolution choose a sample
and then each of its channels with one half.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.transforms.separable import filter_axes, gaussian_matrix, low_resolution_matrix

LARGEST_NOISE = 0.1
TINY = 1e-7


class Step(NamedTuple):
    """One change of the recipe."""

    probability: float
    """That a sample is chosen."""
    channels: Literal["alike", "each", "some"]
    """Whether a sample's channels share a strength, have their own, or are chosen with one half and have their own."""
    change: Callable[[Tensor, Draws], Tensor]
    """From volumes (B, C, D, H, W) and their streams to changed ones of one strength a volume."""

    def share(self, channels: int) -> float:
        """The probability that a sample of so many channels changes."""
        return self.probability * (1 - 0.5**channels) if self.channels == "some" else self.probability

    def apply(self, volumes: Tensor, draws: Draws) -> Tensor:
        """Every one of `volumes` (B, C, D, H, W) changed."""
        if self.channels == "alike":
            return self.change(volumes, draws)
        apart = volumes.flatten(0, 1).unsqueeze(1)
        return self.change(apart, draws.repeated(volumes.shape[1])).reshape(volumes.shape)


def random_appearance(volumes: Tensor, draws: Draws) -> Tensor:
    """Change each sample of `volumes` (B, C, D, H, W) in [0, 1] independently; the result is clamped to [0, 1]."""
    channels = volumes.shape[1]
    for happens, step in zip(at_least_one(draws, [step.share(channels) for step in RECIPE]), RECIPE, strict=True):
        chosen = happens.unsqueeze(1)
        if step.channels == "some" and channels > 1:
            chosen = chosen & torch.stack(at_least_one(draws, [0.5] * channels), dim=1)
        volumes = torch.where(chosen[..., None, None, None], step.apply(volumes, draws), volumes)
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


RECIPE = (
    Step(0.1, "alike", _noise),
    Step(0.2, "some", _blur),
    Step(0.15, "each", _brightness),
    Step(0.15, "each", _contrast),
    Step(0.1, "some", _low_resolution),
    Step(0.1, "each", partial(_gamma, inverted=True)),
    Step(0.3, "each", partial(_gamma, inverted=False)),
)
"""The changes of nnssl in its order."""


def _range(volumes: Tensor) -> tuple[Tensor, Tensor]:
    return volumes.amin(dim=(2, 3, 4), keepdim=True), volumes.amax(dim=(2, 3, 4), keepdim=True)


def _spread(values: Tensor) -> Tensor:
    """One value per sample, shaped to act on (B, C, D, H, W)."""
    return values.view(-1, 1, 1, 1, 1)
