"""The losses of GVSL's pre-training and of the protocols, computed in float32 or better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssl_bench.nn.label_losses import (
    cross_entropy_loss,
    region_dice_cross_entropy_loss,
    region_dice_loss,
    sparse_dice_cross_entropy_loss,
    sparse_dice_loss,
    squared_error_loss,
)

Losses = Mapping[str, Callable[[Tensor, Tensor], Tensor]]
"""From logits and targets to a scalar, by the kind of task."""


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
        # The softmax would make a copy of its own of logits that lie channels last.
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32), memory_format=torch.contiguous_format)
        overlap, extent = _ClassSums.apply(precise.softmax(dim=1).flatten(2), labels.flatten(1).unsqueeze(1))
        loss: Tensor = 1 - ((2 * overlap + 1) / (extent + 1)).mean()
        return loss


def dice_cross_entropy_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """`soft_dice_loss` and the voxels' mean cross-entropy, weighted equally, of the same logits and labels.

    After nnU-Net (Isensee et al., Nature Methods 2021): Dice of each sample, not of the batch, plus cross-entropy.
    Where a class has next to no probability the gradient of Dice vanishes and that of cross-entropy does not, so that
    no class is dropped for good and an all-background prediction is no plateau.
    """
    with torch.autocast(logits.device.type, enabled=False):
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32), memory_format=torch.contiguous_format)
        return soft_dice_loss(precise, labels) + F.cross_entropy(precise, labels)


def binary_cross_entropy_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean binary cross-entropy of `logits` (B,) and `targets` (B,), 0 or 1."""
    return F.binary_cross_entropy_with_logits(logits.float(), targets)


_OF_VOLUMES: Losses = {
    "classification": binary_cross_entropy_loss,
    "multi-class": cross_entropy_loss,
    "regression": squared_error_loss,
}
PAPER_LOSSES: Losses = {
    "segmentation": soft_dice_loss,
    "sparse segmentation": sparse_dice_loss,
    "region segmentation": region_dice_loss,
    **_OF_VOLUMES,
}
"""Those of GVSL's downstream training, by the kind of task; of kinds that it does not have the nearest: its Dice of
what is not ignored, its Dice of each region, cross-entropy, squared error."""
DICE_CROSS_ENTROPY_LOSSES: Losses = {
    "segmentation": dice_cross_entropy_loss,
    "sparse segmentation": sparse_dice_cross_entropy_loss,
    "region segmentation": region_dice_cross_entropy_loss,
    **_OF_VOLUMES,
}


class _ClassSums(torch.autograd.Function):
    """sum(g p) and sum(g^2) + sum(p^2) over the voxels, (B, K) each.

    Of probabilities p (B, K, voxels) and class indices (B, 1, voxels), of which g is the one-hot code. The gradient is
    2 p, and 1 more where g is: autograd would keep g, and multiply and add as many as six tensors of p's size.
    """

    @staticmethod
    def forward(context: Any, probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        context.save_for_backward(probabilities, labels)
        products = torch.zeros_like(probabilities).scatter_(1, labels, 1)
        voxels = products.sum(-1)
        overlap = products.mul_(probabilities).sum(-1)
        return overlap, voxels + torch.mul(probabilities, probabilities, out=products).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(context: Any, of_overlap: Tensor, of_extent: Tensor) -> tuple[Tensor, None]:
        probabilities, labels = context.saved_tensors
        gradient = probabilities * (2 * of_extent).unsqueeze(-1)
        return gradient.scatter_add_(1, labels, of_overlap.gather(1, labels.squeeze(1)).unsqueeze(1)), None


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
