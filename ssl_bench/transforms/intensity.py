"""Non-linear intensity transformation by a random cubic Bezier curve (Models Genesis, GVSL supplement C)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.rng import Draws

CURVE_SAMPLES = 2048
TABLE_STEPS = 2**15


def nonlinear_intensity(volumes: Tensor, draws: Draws, probability: float, invert_probability: float) -> Tensor:
    """Map the intensities of `volumes` (B, C, D, H, W) in [0, 1] by random monotone curves, one for each channel.

    A sample is mapped with `probability`; a curve then falls with `invert_probability` (Models Genesis) and rises
    otherwise (GVSL always). The published codes have one channel; scales of several have nothing in common.
    """
    channels = volumes.shape[1]
    control_points = draws.uniform(channels, 2, 2).flatten(0, 1)
    inverted = draws.chance(invert_probability, channels).flatten()
    mapped = bezier_mapping(volumes.flatten(0, 1), control_points, inverted).view_as(volumes)
    return torch.where(draws.chance(probability).view(-1, 1, 1, 1, 1), mapped, volumes)


def bezier_mapping(values: Tensor, control_points: Tensor, inverted: Tensor) -> Tensor:
    """Map `values` (B, ...) in [0, 1] along cubic Bezier curves from (0, 0) to (1, 1).

    `control_points` (B, 2, 2) holds the two inner points as (x, y), each in [0, 1]; `inverted` (B,) bool turns the
    rising curve into a falling one by reading its ordinates backwards. Values outside [0, 1] take the end values.
    """
    # Searching each voxel's chord of the curve takes longer than all the rest of a corruption. So the curve is searched
    # at the steps of a table, and voxels are read off between two steps.
    table = _ordinates(control_points, inverted)
    slopes = F.pad(table.diff(dim=1), (0, 1)).flatten()
    position = _angle(values.flatten(1).float().clamp(0, 1)).mul_(TABLE_STEPS)
    first = torch.arange(len(table), dtype=torch.int32, device=table.device).unsqueeze(1) * table.shape[1]
    step = position.int().add_(first).flatten()
    fraction = position.frac_().flatten()
    mapped = slopes.index_select(0, step).mul_(fraction).add_(table.flatten().index_select(0, step))
    return mapped.clamp_(0, 1).view_as(values).to(values.dtype)


def _angle(values: Tensor) -> Tensor:
    """The inverse of `_at_angle`, accurate at both ends."""
    return torch.atan2(values.sqrt(), (1 - values).sqrt_()).mul_(2 / math.pi)


def _at_angle(count: int, device: torch.device) -> Tensor:
    """sin² of `count` equally spaced angles from 0 to a right one, from 0 to 1, (count,).

    A curve can start or end vertically; these numbers crowd at both ends, so that chords stay accurate to 1e-5 there.
    """
    return torch.sin(torch.arange(count, device=device) * (math.pi / 2 / (count - 1))).square()


def _ordinates(control_points: Tensor, inverted: Tensor) -> Tensor:
    """The curves' ordinates where a voxel of value `_at_angle` is, (B, TABLE_STEPS + 1)."""
    parameter = _at_angle(CURVE_SAMPLES, control_points.device)
    x = _bezier(parameter, control_points[:, 0, :1], control_points[:, 1, :1])
    x = x.cummax(dim=1).values  # rounding must not undo the order
    y = _bezier(parameter, control_points[:, 0, 1:], control_points[:, 1, 1:])
    y = torch.where(inverted.view(-1, 1), y.flip(1), y)
    run = x.diff(dim=1)
    slope = torch.where(run > 0, y.diff(dim=1) / run, 0)
    values = _at_angle(TABLE_STEPS + 1, x.device).expand(len(x), -1).contiguous()
    segment = torch.searchsorted(x[:, 1:-1].contiguous(), values, right=True)
    return y.gather(1, segment) + slope.gather(1, segment) * (values - x.gather(1, segment))


def _bezier(parameter: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """One coordinate of the curve (B, samples) with ends 0 and 1 and inner coordinates `first`, `second` (B, 1)."""
    rest = 1 - parameter
    return 3 * parameter * rest * (rest * first + parameter * second) + parameter**3
