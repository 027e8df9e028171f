"""Distances between the surfaces of two label maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from monai.metrics.utils import get_surface_distance
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, find_objects
from torch import Tensor


class SurfaceDistances(NamedTuple):
    """Two readings of the same surface distances, each float64 (B, classes)."""

    hd95_mm: Tensor
    """95th percentile of the Hausdorff distance: the larger of the two directions, in mm."""
    surface_dice: Tensor
    """Fraction of both surfaces that lies within the tolerance of the other."""


def surface_distances(
    prediction: Tensor, target: Tensor, classes: int, spacing_mm: Sequence[float], tolerance_mm: float
) -> SurfaceDistances:
    """HD95 and surface Dice of each case and foreground class, surfaces being voxels at the edge of a class (MONAI).

    `prediction` and `target` are label maps (B, D, H, W), `spacing_mm` (D, H, W). A class absent from both scores NaN
    twice, so that means can skip it; absent from one it has the worst of both: surface Dice 0, and as HD95 the diagonal
    of the volume, voxels x spacing, as in the BraTS challenges (373.1 mm for 240 x 240 x 155 voxels of 1 mm), which is
    more than any distance in it.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"label maps differ in shape: {tuple(prediction.shape)} and {tuple(target.shape)}")
    scores = np.empty((len(prediction), classes, 2))
    for case, (predicted, true) in enumerate(zip(_arrays(prediction), _arrays(target), strict=True)):
        scores[case] = _case(predicted, true, classes, spacing_mm, tolerance_mm)
    hd95, dice = torch.from_numpy(scores).unbind(-1)
    return SurfaceDistances(hd95, dice)


def _case(
    predicted: NDArray[np.int64],
    true: NDArray[np.int64],
    classes: int,
    spacing_mm: Sequence[float],
    tolerance_mm: float,
) -> list[tuple[float, float]]:
    boxes = zip(find_objects(predicted, classes), find_objects(true, classes), strict=True)
    diagonal_mm = float(np.linalg.norm(np.multiply(true.shape, spacing_mm)))
    scores = []
    for label, (predicted_box, true_box) in enumerate(boxes, start=1):
        if predicted_box is None and true_box is None:
            scores.append((np.nan, np.nan))
        elif predicted_box is None or true_box is None:
            scores.append((diagonal_mm, 0.0))
        else:
            box = tuple(
                slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(predicted_box, true_box, strict=True)
            )
            scores.append(_pair(predicted[box] == label, true[box] == label, spacing_mm, tolerance_mm))
    return scores


def _pair(
    predicted: NDArray[np.bool_], true: NDArray[np.bool_], spacing_mm: Sequence[float], tolerance_mm: float
) -> tuple[float, float]:
    """HD95 and surface Dice of two masks that are not empty."""
    tolerance = np.float32(tolerance_mm)  # MONAI's distances are float32: 0.3 mm must not be more than 0.3 mm
    # As MONAI's `get_mask_edges`, which looks for a library that is not there at every call.
    edges, true_edges = (mask ^ binary_erosion(mask) for mask in (predicted, true))
    there = get_surface_distance(edges, true_edges, spacing=list(spacing_mm))
    back = get_surface_distance(true_edges, edges, spacing=list(spacing_mm))
    within = (there <= tolerance).sum() + (back <= tolerance).sum()
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return float(hd95), float(within / (there.size + back.size))


def _arrays(labels: Tensor) -> NDArray[np.int64]:
    array: NDArray[np.int64] = labels.detach().cpu().numpy().astype(np.int64)
    return array
