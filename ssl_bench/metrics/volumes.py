"""Scores of what is said of whole volumes: one of several classes, or a number."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.metrics import balanced_accuracy_score, r2_score
from torch import Tensor

from ssl_bench.metrics.auc import roc_auc

Numbers = NDArray[np.float64]


def macro_auc(probabilities: Tensor, labels: Tensor) -> float:
    """The mean over the classes of the ROC-AUC of each against the rest.

    `probabilities` (N, classes) and class indices `labels` (N,). NaN where a class has no case.
    """
    return float(np.mean([roc_auc(column, (labels == index).long()) for index, column in enumerate(probabilities.T)]))


def accuracies(probabilities: Tensor, labels: Tensor) -> dict[str, float]:
    """The share of cases (N, classes) whose most probable class is theirs, and its mean over the classes that occur."""
    predicted, true = probabilities.argmax(dim=1).cpu().numpy(), labels.cpu().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class that is predicted and does not occur
        balanced = float(balanced_accuracy_score(true, predicted))
    return {"accuracy": float(np.mean(predicted == true)), "balanced accuracy": balanced}


def mean_absolute_error(predictions: Tensor, targets: Tensor) -> float:
    """Of `predictions` (N,) and `targets` (N,), in their unit."""
    return float((predictions.double() - targets.double()).abs().mean())


def explained(predictions: Numbers, targets: Numbers) -> dict[str, float]:
    """Pearson's r and R² of `predictions` (N,) and `targets` (N,); NaN for fewer than two cases or without spread."""
    if len(targets) < 2 or np.ptp(targets) == 0:
        return {"Pearson r": float("nan"), "R²": float("nan")}
    r = float(pearsonr(predictions, targets).statistic) if np.ptp(predictions) > 0 else float("nan")
    return {"Pearson r": r, "R²": float(r2_score(targets, predictions))}
