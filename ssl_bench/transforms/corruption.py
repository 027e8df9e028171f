"""The corruptions that restoration undoes: the transform set T of GVSL, and that of Models Genesis."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.transforms.intensity import nonlinear_intensity
from ssl_bench.transforms.painting import (
    GVSL_IN_PAINTING,
    MODELS_GENESIS_IN_PAINTING,
    InPaintingSettings,
    fill_with_noise,
    in_painting_mask,
    out_painting_mask,
)
from ssl_bench.transforms.shuffling import GVSL_SHUFFLING, MODELS_GENESIS_SHUFFLING, ShufflingSettings, local_shuffling


@dataclass(frozen=True)
class CorruptionSettings:
    """Which corruptions, how often and how strong."""

    shuffling_probability: float
    shuffling: ShufflingSettings
    intensity_probability: float
    inversion_probability: float
    """The probability that the intensity curve of a mapped sample falls instead of rising."""
    painting_probability: float
    in_painting_share: float
    """The probability that a painted sample is in-painted; otherwise it is out-painted."""
    in_painting: InPaintingSettings


GVSL = CorruptionSettings(
    shuffling_probability=0.8,
    shuffling=GVSL_SHUFFLING,
    intensity_probability=0.9,
    inversion_probability=0.0,
    painting_probability=1.0,
    in_painting_share=1.0,
    in_painting=GVSL_IN_PAINTING,
)
"""GVSL's published code: every sample is in-painted, none out-painted, no curve falls."""

MODELS_GENESIS = CorruptionSettings(
    shuffling_probability=0.5,
    shuffling=MODELS_GENESIS_SHUFFLING,
    intensity_probability=0.9,
    inversion_probability=0.5,
    painting_probability=0.9,
    in_painting_share=0.2,
    in_painting=MODELS_GENESIS_IN_PAINTING,
)
"""The corruptions of Models Genesis (Zhou et al., MedIA 2021)."""


def corrupt(volumes: Tensor, draws: Draws, settings: CorruptionSettings = GVSL) -> Tensor:
    """Corrupt `volumes` (B, C, D, H, W) in [0, 1]: local shuffling, then intensities, then painting.

    The result stays in [0, 1]. Raises ValueError on an axis of less than 10 voxels (14 with out-painting).
    """
    corrupted = local_shuffling(volumes, draws, settings.shuffling, settings.shuffling_probability)
    corrupted = nonlinear_intensity(corrupted, draws, settings.intensity_probability, settings.inversion_probability)
    mask = in_painting_mask(volumes.shape[2:], draws, settings.in_painting)
    if settings.in_painting_share < 1:
        inside = _gate(draws, settings.in_painting_share)
        mask = torch.where(inside, mask, out_painting_mask(volumes.shape[2:], draws))
    return fill_with_noise(corrupted, mask & _gate(draws, settings.painting_probability), draws)


def random_flip(volumes: Tensor, draws: Draws) -> Tensor:
    """Flip `volumes` (B, C, D, H, W) as Models Genesis does with input and target before it corrupts the input.

    Up to three times, each with probability 0.4 and only after the one before: flip along one of three axes. The first
    is the channel axis, which changes nothing, and the slices (D) keep their order, as in the published code.
    """
    going_on = draws.chance(0.4, 3).cumprod(dim=1)
    axis = draws.integers(0, 3, 3)
    for choice, dimension in ((1, 3), (2, 4)):
        odd = (going_on * (axis == choice)).sum(dim=1) % 2 == 1
        volumes = torch.where(odd.view(-1, 1, 1, 1, 1), volumes.flip(dimension), volumes)
    return volumes


def _gate(draws: Draws, probability: float) -> Tensor:
    return draws.chance(probability).view(-1, 1, 1, 1, 1)
