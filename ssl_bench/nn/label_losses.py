"""Losses of tasks whose voxels may be ignored or in several regions, and of volumes with classes or a number."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.cases import IGNORED


def sparse_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """`soft_dice_loss` of the voxels of `labels` (B, D, H, W) that are not `IGNORED`; 0 where none is left."""
    with torch.autocast(logits.device.type, enabled=False):
        probabilities, known = _precise(logits).softmax(dim=1), labels != IGNORED
        one_hot = torch.zeros_like(probabilities)
        one_hot.scatter_(1, labels.masked_fill(~known, 0).unsqueeze(1), 1)
        return _soft_dice(probabilities, one_hot, known)


def sparse_dice_cross_entropy_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """`dice_cross_entropy_loss` of the voxels that are not `IGNORED`, as nnU-Net takes an ignore label.

    A window without any such voxel has no loss, and no gradient.
    """
    with torch.autocast(logits.device.type, enabled=False):
        precise, known = _precise(logits), labels != IGNORED
        entropy = F.cross_entropy(precise, labels, ignore_index=IGNORED, reduction="sum")
        return sparse_dice_loss(precise, labels) + entropy / known.sum().clamp(min=1)


def region_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The soft Dice of GVSL's downstream code for each region by itself, with a sigmoid in the place of the softmax.

    Of `logits` (B, R, D, H, W) and `labels` (B, D, H, W), whose bit r says whether a voxel is in region r, or that are
    `IGNORED`. The background is no region, and so is no part of the mean.
    """
    with torch.autocast(logits.device.type, enabled=False):
        precise, known = _precise(logits), labels != IGNORED
        return _soft_dice(precise.sigmoid(), _of_regions(labels, precise), known)


def region_dice_cross_entropy_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """`region_dice_loss` and the mean binary cross-entropy over regions and voxels, weighted equally.

    So nnU-Net trains regions that may overlap: a sigmoid for each, Dice and binary cross-entropy (Isensee et al.,
    BrainLes 2020, "region-based training").
    """
    with torch.autocast(logits.device.type, enabled=False):
        precise, known = _precise(logits), labels != IGNORED
        inside = _of_regions(labels, precise)
        entropy = F.binary_cross_entropy_with_logits(precise, inside, reduction="none").mean(dim=1)
        entropy = (entropy * known).sum() / known.sum().clamp(min=1)
        return _soft_dice(precise.sigmoid(), inside, known) + entropy


def cross_entropy_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of `logits` (B, classes) and class indices (B,), which may be floats."""
    return F.cross_entropy(logits.float(), targets.long())


def squared_error_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """The mean squared error of `predictions` (B,) and `targets` (B,), both standardised."""
    return F.mse_loss(predictions.float(), targets.float())


def _soft_dice(probabilities: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """One minus (2 sum(g p) + 1) / (sum(g^2) + sum(p^2) + 1) where `known`, averaged over samples and classes."""
    probabilities, truth = (part.mul(known.unsqueeze(1)).flatten(2) for part in (probabilities, truth))
    overlap, extent = (probabilities * truth).sum(-1), (truth + probabilities.square()).sum(-1)
    loss: Tensor = 1 - ((2 * overlap + 1) / (extent + 1)).mean()
    return loss


def _of_regions(labels: Tensor, like: Tensor) -> Tensor:
    """Which voxels are in each region, (B, R, D, H, W), for as many regions as `like` has."""
    bits = torch.arange(like.shape[1], device=labels.device).view(1, -1, 1, 1, 1)
    return (labels.unsqueeze(1) >> bits & 1).to(like.dtype)


def _precise(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32), memory_format=torch.contiguous_format)
