"""The Dice similarity coefficient of two label maps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

AbsentPolicy = Literal["excluded", "zero"]


def dice_per_class(prediction: Tensor, target: Tensor, classes: int, absent: AbsentPolicy = "excluded") -> Tensor:
    """Dice similarity coefficient of each case and foreground class, float64 (B, classes).

    `prediction` and `target` are label maps (B, D, H, W) with 0 the background and 1..classes the foreground. A class
    absent from one of them scores 0. Absent from both it scores NaN ("excluded": means skip it), or 0 ("zero") as in
    GVSL's published code.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"label maps differ in shape: {tuple(prediction.shape)} and {tuple(target.shape)}")
    if absent not in ("excluded", "zero"):
        raise ValueError(f"unknown policy for absent classes {absent!r}: use 'excluded' or 'zero'")
    predicted = _counts(prediction, classes)
    true = _counts(target, classes)
    agreed = _counts(torch.where(prediction == target, target, 0), classes)
    score = 2 * agreed / (predicted + true)
    return score if absent == "excluded" else score.nan_to_num(nan=0.0)


def _counts(labels: Tensor, classes: int) -> Tensor:
    """Voxels of classes 1..classes in each case, float64 (B, classes)."""
    flat = labels.flatten(1).long()
    case = torch.arange(len(flat), device=flat.device).unsqueeze(1)
    counts = torch.bincount((flat + case * (classes + 1)).flatten(), minlength=len(flat) * (classes + 1))
    if len(counts) != len(flat) * (classes + 1) or bool((flat > classes).any()):
        raise ValueError(f"a label exceeds the {classes} foreground classes")
    return counts.view(len(flat), -1)[:, 1:].double()
