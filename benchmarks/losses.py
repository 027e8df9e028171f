"""The losses against the straightforward ways to compute them, forward and backward.

Local cross-correlation by products with band matrices, against the same formula with a dense 9³ convolution; soft
Dice by inner products, against the formula on one-hot labels. The part fails if two values differ by more than 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.tables import Row, Table
from benchmarks.timing import Options, at_least, interleaved, ratio, spread
from ssl_bench.nn.losses import ncc_loss, soft_dice_loss

TOLERANCE = 1e-5
Loss = Callable[[Tensor, Tensor], Tensor]


def measure(options: Options) -> list[Table]:
    correlation = [
        _row(f"NCC, window 9³, {side}³", side, 0, options) for side in ((16,) if options.quick else (64, 128))
    ]
    dice = [
        _row(f"soft Dice, {classes} classes, {side}³", side, classes, options)
        for side, classes in (((16, 3),) if options.quick else ((128, 2), (128, 8), (128, 29)))
    ]
    return [{"title": "Losses, forward and backward", "rows": correlation + dice}]


def ncc_by_convolution(warped: Tensor, fixed: Tensor, window: int = 9) -> Tensor:
    """Local sums by a dense convolution with a cube of ones, as in the published code."""
    ones = torch.ones(1, 1, window, window, window, device=warped.device)
    sum_i, sum_j, sum_ii, sum_jj, sum_ij = (
        F.conv3d(values, ones, padding=window // 2)
        for values in (warped, fixed, warped * warped, fixed * fixed, warped * fixed)
    )
    voxels = window**3
    cross = sum_ij - sum_i * sum_j / voxels
    variances = (sum_ii - sum_i * sum_i / voxels) * (sum_jj - sum_j * sum_j / voxels)
    return 1 - (cross * cross / (variances + 1e-5)).mean()


def dice_by_one_hot(logits: Tensor, labels: Tensor) -> Tensor:
    """The formula as it is written, on one-hot labels."""
    probabilities = logits.softmax(dim=1)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).float()
    overlap = (truth * probabilities).sum(dim=(2, 3, 4))
    extent = (truth**2).sum(dim=(2, 3, 4)) + (probabilities**2).sum(dim=(2, 3, 4))
    return 1 - ((2 * overlap + 1) / (extent + 1)).mean()


def _row(title: str, side: int, classes: int, options: Options) -> Row:
    """NCC for 0 classes, which is wanted ten times as fast."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, max(classes, 1), side, side, side)
    first = torch.rand(shape, generator=generator).to(options.device).requires_grad_()
    if classes:
        second = torch.randint(classes, (1, side, side, side), generator=generator).to(options.device)
    else:
        second = (first.detach().cpu() + torch.rand(shape, generator=generator)).div(2).to(options.device)
    ours, other = (soft_dice_loss, dice_by_one_hot) if classes else (ncc_loss, ncc_by_convolution)
    values, gradients = zip(*(_value_and_gradient(loss, first, second) for loss in (ours, other)), strict=True)
    apart = abs(values[0] - values[1])
    assert apart <= TOLERANCE, f"{title}: the two losses differ by {apart}"
    times = interleaved(
        {
            "ours": lambda: _value_and_gradient(ours, first, second),
            "other": lambda: _value_and_gradient(other, first, second),
        },
        options,
    )
    faster = ratio(times["other"], times["ours"])
    return {
        "loss": title,
        "seconds": spread(times["ours"]),
        "straightforward: seconds": spread(times["other"]),
        "times as fast": faster,
        **(at_least(10, faster) if not classes else {}),
        "values apart": f"{apart:.0e}",
        "gradients apart / largest": f"{float((gradients[0] - gradients[1]).norm() / gradients[1].norm()):.0e}",
    }


def _value_and_gradient(loss: Loss, first: Tensor, second: Tensor) -> tuple[float, Tensor]:
    value = loss(first, second)
    (gradient,) = torch.autograd.grad(value, first)
    return float(value.detach()), gradient
