"""Centreline Dice: how far tubular structures agree along their centrelines."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
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
    """The skeleton, with one for each part (of voxels that touch) that thinning erases altogether."""
    skeleton = _thinned(mask)
    parts, count = label(mask, np.ones((3, 3, 3)))
    erased = set(range(1, count + 1)) - set(parts[skeleton].tolist())
    for number, box in enumerate(find_objects(parts), start=1):
        if number in erased:
            part = parts[box] == number
            skeleton[box] |= _centreline_of_erased(part)
    return skeleton


def _centreline_of_erased(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The skeleton of `part` with a voxel added on one side along some axes, or `part` itself.

    scikit-image's thinning (Lee et al. 1994) erases straight tubes whose cross-section is even, such as 2 x 2 or 4 x 6
    voxels; a voxel more makes it odd.
    """
    for axes in sorted(product((1, 0), repeat=3), reverse=True):
        thicker = np.pad(part, [(0, more) for more in axes])
        for axis in np.flatnonzero(axes):
            thicker |= np.roll(thicker, 1, axis)  # the last slice is the padding's, empty
        kept = _thinned(thicker)[: part.shape[0], : part.shape[1], : part.shape[2]] & part
        if kept.any():
            return kept
    return part


def _thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # A border of background: thinning must not treat the faces of the volume differently.
    skeleton: NDArray[np.bool_] = skeletonize(np.pad(mask, 1))[1:-1, 1:-1, 1:-1].astype(bool)
    return skeleton
