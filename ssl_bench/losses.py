"""The losses of GVSL's pre-training and of the segmentation protocols, computed in float32 or better."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def ncc_loss(warped: Tensor, fixed: Tensor, window: int = 9) -> Tensor:
    """One minus the mean squared local normalised cross-correlation of two volumes (B, C, D, H, W); GVSL Eq. 1.

    Local sums run over a cube of `window` voxels (odd) padded with zeros, and are divided by window^3 at the borders
    too, as in the published code. The value lies in [0, 1]; a flat neighbourhood counts as uncorrelated, so the
    background sets a floor above 0.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"the window of the cross-correlation must be odd, not {window}")
    if warped.shape != fixed.shape:
        raise ValueError(f"cannot correlate volumes of shapes {tuple(warped.shape)} and {tuple(fixed.shape)}")
    with torch.autocast(warped.device.type, enabled=False):
        i, j = _precise(warped), _precise(fixed)
        sum_i, sum_j, sum_ii, sum_jj, sum_ij = (_box_sum(x, window) for x in (i, j, i * i, j * j, i * j))
        voxels = window**3
        cross = sum_ij - sum_i * sum_j / voxels
        # Rounding can make the variance of a flat window negative; the product must stay clear of minus epsilon.
        variance_i = (sum_ii - sum_i * sum_i / voxels).clamp(min=0)
        variance_j = (sum_jj - sum_j * sum_j / voxels).clamp(min=0)
        return 1 - (cross * cross / (variance_i * variance_j + 1e-5)).mean()


def smoothness_loss(displacement: Tensor) -> Tensor:
    """Mean squared forward difference of a displacement (B, 3, D, H, W) in voxels, averaged over the axes; GVSL Eq. 2.

    The published code applies it to the deformation alone, without the affine part.
    """
    displacement = _precise(displacement)
    return torch.stack([displacement.diff(dim=axis).square().mean() for axis in (2, 3, 4)]).mean()


def soft_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One minus the mean soft Dice of softmax(`logits`) (B, K, D, H, W) and `labels` (B, D, H, W), integers in 0..K-1.

    Every class of every sample counts the same, background included: (2 sum(g p) + 1) / (sum(g^2) + sum(p^2) + 1),
    the segmentation loss of GVSL's published downstream code.
    """
    if labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(f"labels of shape {tuple(labels.shape)} do not fit logits of shape {tuple(logits.shape)}")
    with torch.autocast(logits.device.type, enabled=False):
        probabilities = _precise(logits).softmax(dim=1).flatten(2)
        truth = torch.zeros_like(probabilities).scatter_(1, labels.flatten(1).unsqueeze(1), 1)
        overlap = torch.linalg.vecdot(probabilities, truth)
        extent = truth.sum(-1) + torch.linalg.vecdot(probabilities, probabilities)
        loss: Tensor = 1 - ((2 * overlap + 1) / (extent + 1)).mean()
        return loss


def _precise(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _box_sum(volume: Tensor, window: int) -> Tensor:
    """The sum over a cube of `window` voxels around every voxel, zeros outside, one axis at a time."""
    if volume.device.type == "cpu":
        return _box_sum_by_matrices(volume, window)
    return _box_sum_by_pooling(volume, window)


def _box_sum_by_matrices(volume: Tensor, window: int) -> Tensor:
    """Products with band matrices of ones: on a processor many times faster than pooling."""
    depth, height, width = (_band(n, window, volume) for n in volume.shape[2:])
    summed = height @ (volume @ width)
    return (depth @ summed.flatten(3)).view_as(volume)


def _box_sum_by_pooling(volume: Tensor, window: int) -> Tensor:
    """Pooling, exact in float32 where a matrix product may be rounded to TF32."""
    for axis in range(3):
        kernel, padding = [1, 1, 1], [0, 0, 0]
        kernel[axis], padding[axis] = window, window // 2
        volume = F.avg_pool3d(volume, kernel, stride=1, padding=padding, divisor_override=1)
    return volume


def _band(length: int, window: int, like: Tensor) -> Tensor:
    index = torch.arange(length, device=like.device)
    return ((index[:, None] - index).abs() <= window // 2).to(like.dtype)
