"""What each case contributes to Pearson's r and to R², and their intervals: arrays in, arrays out, as in `statistics`.

The contributions of a row's cases have the score as their mean, and the jackknife's pseudo-values of their subjects as
deviations from it: so folds and seeds count as they do in a mean. What was compared, with figures: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ssl_bench.report.statistics import Array, Interval, Parts

Places = NDArray[np.intp]


def pearson_contributions(predictions: Array, targets: Array, subjects: Places) -> Array:
    """Contributions (..., cases) to Pearson's r of `predictions` (..., cases) and `targets` (cases,).

    Deviations are those of the jackknife of Fisher's z (Hinkley, Biometrika 1977, 64:21) over the `subjects` (cases,),
    on the scale of r. NaN where r is undefined or 1 in size, with all subjects or without one of them.
    """
    x, y, left = _centred(predictions), _centred(targets), _LeftOut.of(subjects)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = _every(x * y) / np.sqrt(_every(x * x) * _every(y * y))
        without = left.product(x, y) / np.sqrt(left.product(x, x) * left.product(y, y))
        return left.contributions(r, np.arctanh(r), np.arctanh(without), 1 - r**2)


def r_squared_contributions(predictions: Array, targets: Array, subjects: Places) -> Array:
    """Contributions (..., cases) to R² of `predictions` (..., cases) of `targets` (cases,).

    Deviations are those of the jackknife of log(1 - R²) over the `subjects` (cases,), on the scale of R². NaN where R²
    is undefined or 1, with all subjects or without one of them.
    """
    squares, y, left = (predictions - targets) ** 2, _centred(targets), _LeftOut.of(subjects)
    with np.errstate(divide="ignore", invalid="ignore"):
        unexplained = _every(squares) / _every(y * y)
        without = (_every(squares) - squares @ left.members) / left.product(y, y)
        return left.contributions(1 - unexplained, np.log(unexplained), np.log(without), -unexplained)


def pearson_interval(parts: Parts) -> Interval:
    """Pearson's r with its t interval on Fisher's scale."""
    reach = _reach(parts) / (1 - parts.value**2)
    low, high = (np.tanh(np.arctanh(parts.value) + side * reach) for side in (-1, 1))
    return Interval(parts.value, low, high, parts.error)


def r_squared_interval(parts: Parts) -> Interval:
    """R² with its t interval on the scale of log(1 - R²)."""
    unexplained = 1 - parts.value
    low, high = (1 - unexplained * np.exp(side * _reach(parts) / unexplained) for side in (1, -1))
    return Interval(parts.value, low, high, parts.error)


class OfNumbers(NamedTuple):
    """How a score of predicted numbers is told that is no mean over cases."""

    contributions: Callable[[Array, Array, Places], Array]
    interval: Callable[[Parts], Interval]


OF_NUMBERS: Mapping[str, OfNumbers] = {
    "Pearson r": OfNumbers(pearson_contributions, pearson_interval),
    "R²": OfNumbers(r_squared_contributions, r_squared_interval),
}
"""By the names of `METRICS`."""


class _LeftOut(NamedTuple):
    """Every subject left out once."""

    members: Array
    """(cases, subjects): 1 where the case is of the subject."""

    @classmethod
    def of(cls, subjects: Places) -> _LeftOut:
        return cls((subjects[:, None] == np.unique(subjects)).astype(np.float64))

    def product(self, x: Array, y: Array) -> Array:
        """The sum (..., subjects) of the products of centred `x` and `y` (..., cases), centred anew without each."""
        rest = len(self.members) - self.members.sum(0)
        moved = (x @ self.members) * (y @ self.members) / rest
        total: Array = _every(x * y) - (x * y) @ self.members - moved
        return total

    def contributions(self, score: Array, transformed: Array, without: Array, slope: Array) -> Array:
        """`score` (..., 1) and of each case its share of what its subject's pseudo-value deviates.

        `transformed` (..., 1) and `without` (..., subjects) are transforms of the score; `slope` is the derivative of
        the score by the transform.
        """
        cases, subjects = self.members.shape
        pseudo = subjects * transformed - (subjects - 1) * without
        # Rounding leaves the transform of 1 finite now and then.
        deviations = np.where(np.abs(slope) > 1e-12, pseudo - pseudo.mean(-1, keepdims=True), np.nan)
        shares = cases / subjects / self.members.sum(0)
        contributions: Array = score + slope * ((deviations * shares) @ self.members.T)
        return contributions


def _every(values: Array) -> Array:
    total: Array = values.sum(-1, keepdims=True)
    return total


def _centred(values: Array) -> Array:
    centred: Array = values - values.mean(-1, keepdims=True)
    return centred


def _reach(parts: Parts) -> Array:
    reach: Array = special.stdtrit(parts.freedom, 0.975) * parts.error
    return reach
