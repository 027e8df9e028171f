"""Random changes of appearance for contrastive views: noise, blur, brightness, contrast, resolution, gamma.

Kinds, order and probabilities follow the 3D SimCLR of nnssl; the strength of the noise, which depends on the scale of
the intensities, is chosen here for [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.transforms.separable import filter_axes, gaussian_matrix, low_resolution_matrix

LARGEST_NOISE = 0.1
TINY = 1e-7


def random_appearance(volumes: Tensor, draws: Draws) -> Tensor:
    """Change each sample of `volumes` (B, C, D, H, W) in [0, 1] independently; the result is clamped to [0, 1]."""
    volumes = _noise(volumes, draws)
    volumes = _blur(volumes, draws)
    volumes = _where(draws.chance(0.15), volumes * _spread(draws.uniform(low=0.75, high=1.25)), volumes)
    volumes = _contrast(volumes, draws)
    volumes = _low_resolution(volumes, draws)
    volumes = _gamma(volumes, draws, probability=0.1, inverted=True)
    volumes = _gamma(volumes, draws, probability=0.3, inverted=False)
    return volumes.clamp(0, 1)


def _noise(volumes: Tensor, draws: Draws) -> Tensor:
    deviation = draws.uniform(high=LARGEST_NOISE) * draws.chance(0.1)
    return volumes + _spread(deviation) * draws.normal(*volumes.shape[1:])


def _blur(volumes: Tensor, draws: Draws) -> Tensor:
    sigma = draws.uniform(low=0.5, high=1.0)
    blurred = filter_axes(volumes, [gaussian_matrix(n, sigma, extend=True) for n in volumes.shape[2:]])
    return torch.where(_channel_gate(draws, 0.2, volumes.shape[1]), blurred, volumes)


def _contrast(volumes: Tensor, draws: Draws) -> Tensor:
    """Stretch around the mean without leaving the sample's own range."""
    mean = volumes.mean(dim=(2, 3, 4), keepdim=True)
    low, high = _range(volumes)
    stretched = (volumes - mean) * _spread(draws.uniform(low=0.75, high=1.25)) + mean
    return _where(draws.chance(0.15), stretched.clamp(low, high), volumes)


def _low_resolution(volumes: Tensor, draws: Draws) -> Tensor:
    zoom = draws.uniform(low=0.5, high=1.0)
    coarse = filter_axes(volumes, [low_resolution_matrix(n, zoom) for n in volumes.shape[2:]])
    return torch.where(_channel_gate(draws, 0.1, volumes.shape[1]), coarse, volumes)


def _gamma(volumes: Tensor, draws: Draws, probability: float, inverted: bool) -> Tensor:
    """Raise to a power in 0.7 to 1.5, below and above 1 equally often, keeping mean and deviation."""
    below = draws.uniform(low=0.7, high=1.0)
    above = draws.uniform(low=1.0, high=1.5)
    power = _spread(torch.where(draws.chance(0.5), below, above))
    low, high = _range(volumes)
    unit = (volumes - low) / (high - low + TINY)
    raised = 1 - (1 - unit).clamp(min=0).pow(power) if inverted else unit.clamp(min=0).pow(power)
    old_deviation, old_mean = torch.std_mean(volumes, dim=(2, 3, 4), keepdim=True)
    new_deviation, new_mean = torch.std_mean(raised, dim=(2, 3, 4), keepdim=True)
    kept = (raised - new_mean) * (old_deviation / (new_deviation + TINY)) + old_mean
    return _where(draws.chance(probability), kept, volumes)


def _range(volumes: Tensor) -> tuple[Tensor, Tensor]:
    return volumes.amin(dim=(2, 3, 4), keepdim=True), volumes.amax(dim=(2, 3, 4), keepdim=True)


def _spread(values: Tensor) -> Tensor:
    """One value per sample, shaped to act on (B, C, D, H, W)."""
    return values.view(-1, 1, 1, 1, 1)


def _where(gate: Tensor, changed: Tensor, volumes: Tensor) -> Tensor:
    return torch.where(_spread(gate), changed, volumes)


def _channel_gate(draws: Draws, probability: float, channels: int) -> Tensor:
    """Choose samples with `probability`, then each of their channels with probability one half."""
    gate = draws.chance(probability).unsqueeze(1) & draws.chance(0.5, channels)
    return gate.view(-1, channels, 1, 1, 1)
