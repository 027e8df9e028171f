"""What each case contributes to a score over several classes: arrays in, arrays out, as in `statistics`.

The contributions of a row's cases have the score as their mean, and to first order its spread: so the intervals and
tests of a mean are those of the score.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ssl_bench.report.statistics import Array, Interval, Parts, auc_components

Classes = NDArray[np.intp]


def macro_auc_contributions(probabilities: Array, truth: Classes) -> Array:
    """Contributions (..., cases) to the mean over the classes of the AUC of each against the rest.

    `probabilities` (..., cases, classes), class indices `truth` (cases,). Of a class, what DeLong's components deviate
    from its AUC, over the share of the side that the case is on: their variance is DeLong's, with each side's own
    degrees of freedom. NaN where a class, or its rest, has fewer than two cases.
    """
    total = np.zeros(probabilities.shape[:-1])
    for index in range(probabilities.shape[-1]):
        members = truth == index
        if min(members.sum(), (~members).sum()) < 2:
            return np.full(total.shape, np.nan)
        components = auc_components(probabilities[..., index], members)
        auc = components[..., members].mean(-1, keepdims=True)
        total += auc + (components - auc) * _weight(members)
    contributions: Array = total / probabilities.shape[-1]
    return contributions


def balanced_contributions(correct: Array, truth: Classes) -> Array:
    """Contributions (..., cases) to the mean over the classes of the accuracy on their cases; `correct` is 0 or 1."""
    classes = np.unique(truth)
    total = np.zeros(correct.shape)
    for index in classes:
        members = truth == index
        if members.sum() < 2:
            return np.full(total.shape, np.nan)
        accuracy = correct[..., members].mean(-1, keepdims=True)
        total += accuracy + np.where(members, (correct - accuracy) * _weight(members), 0.0)
    contributions: Array = total / len(classes)
    return contributions


def share_interval(parts: Parts, cases: int) -> Interval:
    """A mean of shares with Wilson's interval (1927), t in the place of the normal quantile.

    The number of cases in it is the one at which a share would vary so much, so that seeds and classes count; where
    nothing varies it is that of the `cases`. Unlike others the interval is defined where every case is right.
    """
    value, variance = parts.value, parts.variance
    varies = variance > 1e-24
    with np.errstate(divide="ignore", invalid="ignore"):
        count = np.where(varies, value * (1 - value) / variance, cases)
        freedom = np.where(varies, parts.freedom, parts.case_freedom)
    square = special.stdtrit(freedom, 0.975) ** 2
    middle = (value * count + square / 2) / (count + square)
    reach = np.sqrt(square) / (count + square) * np.sqrt(value * (1 - value) * count + square / 4)
    return Interval(value, middle - reach, middle + reach, parts.error)


def _weight(members: NDArray[np.bool_]) -> Array:
    """(cases,): one over the share of the side, members or rest, that a case is on, times sqrt(n / (n - 1))."""
    count = np.where(members, members.sum(), (~members).sum())
    weight: Array = len(members) / count * np.sqrt(count / np.maximum(count - 1, 1))
    return weight
