"""Area under the receiver operating characteristic."""

from __future__ import annotations

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor


def roc_auc(scores: Tensor, labels: Tensor) -> float:
    """ROC-AUC of `scores` (N,), larger for the positive class, against binary `labels` (N,); NaN for a single class."""
    if scores.shape != labels.shape or scores.dim() != 1:
        raise ValueError(f"scores {tuple(scores.shape)} and labels {tuple(labels.shape)} must be vectors of one length")
    if len(torch.unique(labels)) < 2:
        return float("nan")
    return float(roc_auc_score(labels.cpu().numpy(), scores.detach().double().cpu().numpy()))
