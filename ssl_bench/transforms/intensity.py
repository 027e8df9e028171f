"""Non-linear intensity transformation by a random cubic Bezier curve (Models Genesis, GVSL supplement C)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_bench.draws import Draws

CURVE_SAMPLES = 2048


def nonlinear_intensity(volumes: Tensor, draws: Draws, probability: float, invert_probability: float) -> Tensor:
    """Map the intensities of `volumes` (B, C, D, H, W) in [0, 1] by one random monotone curve per sample.

    A sample is mapped with `probability`; its curve then falls with `invert_probability` (Models Genesis) and rises
    otherwise (GVSL always).
    """
    control_points = draws.uniform(2, 2)
    inverted = draws.chance(invert_probability)
    mapped = bezier_mapping(volumes, control_points, inverted)
    return torch.where(draws.chance(probability).view(-1, 1, 1, 1, 1), mapped, volumes)


def bezier_mapping(values: Tensor, control_points: Tensor, inverted: Tensor) -> Tensor:
    """Map `values` (B, ...) in [0, 1] along cubic Bezier curves from (0, 0) to (1, 1).

    `control_points` (B, 2, 2) holds the two inner points as (x, y), each in [0, 1]; `inverted` (B,) bool turns the
    rising curve into a falling one by reading its ordinates backwards. Values outside [0, 1] take the end values.
    """
    # A curve can start or end vertically; samples crowd at both ends, so that chords stay accurate to 1e-5 there.
    index = torch.arange(CURVE_SAMPLES, device=values.device)
    parameter = torch.sin(index * (math.pi / 2 / (CURVE_SAMPLES - 1))).square()
    x = _bezier(parameter, control_points[:, 0, :1], control_points[:, 1, :1])
    x = x.cummax(dim=1).values  # rounding must not undo the order
    y = _bezier(parameter, control_points[:, 0, 1:], control_points[:, 1, 1:])
    y = torch.where(inverted.view(-1, 1), y.flip(1), y)
    run = x.diff(dim=1)
    slope = torch.where(run > 0, y.diff(dim=1) / run, 0)
    flat = values.flatten(1).float().clamp(0, 1)
    segment = torch.searchsorted(x[:, 1:-1].contiguous(), flat, right=True)
    mapped = y.gather(1, segment) + slope.gather(1, segment) * (flat - x.gather(1, segment))
    return mapped.clamp(0, 1).view_as(values).to(values.dtype)


def _bezier(parameter: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """One coordinate of the curve (B, samples) with ends 0 and 1 and inner coordinates `first`, `second` (B, 1)."""
    rest = 1 - parameter
    return 3 * parameter * rest * (rest * first + parameter * second) + parameter**3
