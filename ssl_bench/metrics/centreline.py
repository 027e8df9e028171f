"""Centreline Dice: how far tubular structures agree along their centrelines."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.morphology import skeletonize
from torch import Tensor


def centreline_dice(prediction: Tensor, target: Tensor, classes: int) -> Tensor:
    """Centreline Dice (clDice, Shit et al. 2021) of each case and foreground class, float64 (B, classes).

    The harmonic mean of the share of the predicted centreline inside the true structure and the share of the true
    centreline inside the predicted one. `prediction` and `target` are label maps (B, D, H, W). A class absent from both
    scores NaN, so that means can skip it; absent from one it scores 0.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"label maps differ in shape: {tuple(prediction.shape)} and {tuple(target.shape)}")
    predicted, true = prediction.detach().cpu().numpy(), target.detach().cpu().numpy()
    scores = [
        [_pair(p == label, t == label) for label in range(1, classes + 1)] for p, t in zip(predicted, true, strict=True)
    ]
    return torch.tensor(scores, dtype=torch.float64)


def _pair(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    if not predicted.any() and not true.any():
        return float("nan")
    if not predicted.any() or not true.any():
        return 0.0
    precision = true[_centreline(predicted)].mean()
    sensitivity = predicted[_centreline(true)].mean()
    return float(2 * precision * sensitivity / (precision + sensitivity)) if precision + sensitivity > 0 else 0.0


def _centreline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The skeleton, or the mask itself where thinning leaves nothing of it."""
    # A border of background: thinning must not treat the faces of the volume differently.
    skeleton: NDArray[np.bool_] = skeletonize(np.pad(mask, 1))[1:-1, 1:-1, 1:-1].astype(bool)
    return skeleton if skeleton.any() else mask
