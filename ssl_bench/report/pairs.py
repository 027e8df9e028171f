"""Scores of pairs of subjects, of which each subject is in several: what shares a subject is not independent.

Arrays in, numbers out, as in `ssl_bench.report.statistics`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_bench.report import statistics
from ssl_bench.report.statistics import Array, Parts

Places = NDArray[np.intp]


def pair_parts(values: Array, subjects: Places, partners: Places) -> Parts:
    """The mean of `values` (..., seeds, pairs) and its variance for new subjects, see `PairVariance`.

    `subjects` and `partners` (pairs,) number both sides of each pair.
    """
    variance = PairVariance(subjects, partners)

    def mean_and_variance(of_pairs: Array) -> tuple[Array, Array]:
        return of_pairs.mean(-1), variance.of_mean(of_pairs)

    parts = statistics.parts_of(values, mean_and_variance, 0)
    return parts._replace(case_freedom=variance.freedom(values.mean(-2)))


class PairVariance:
    """The variance of a mean over pairs, of which each has a share of both its subjects and one of its own.

    In the model x_ij = mean + a_i + a_j + e_ij it is estimated without bias, by Henderson's first method (Biometrics
    1953, 9:226): the squared deviations of pairs, and those of subjects' sums, are set equal to what they expect. It is
    what resampling subjects with all their pairs aims at, whose plain estimate is a fifth too small at twelve subjects.
    That of independent pairs is the lower bound: subjects make pairs more alike. Undefined, NaN, for fewer than four
    subjects, whose pairs cannot tell the two shares apart.
    """

    def __init__(self, subjects: Places, partners: Places) -> None:
        names = np.unique(np.concatenate([subjects, partners]))
        self._pairs = pairs = len(subjects)
        self._belongs = (subjects[:, None] == names).astype(np.float64) + (partners[:, None] == names)
        centre = np.eye(pairs) - 1 / pairs
        forms = [centre, centre @ self._belongs @ self._belongs.T @ centre]
        self._causes = [self._belongs @ self._belongs.T, np.eye(pairs)]
        expected = np.array([[np.trace(form @ cause) for cause in self._causes] for form in forms])
        wanted = np.array([cause.sum() for cause in self._causes]) / pairs**2
        self.defined = bool(len(names) > 3 and np.linalg.cond(expected) < 1e8)
        weights = np.linalg.solve(expected.T, wanted) if self.defined else np.zeros(2)
        self._form = weights[0] * forms[0] + weights[1] * forms[1]
        self._shares = np.linalg.inv(expected) if self.defined else np.zeros((2, 2))

    def of_mean(self, values: Array) -> Array:
        """(...,) of the mean over the last axis of `values` (..., pairs)."""
        found: Array = np.maximum(self._of_both(values), self._of_pairs(values))
        return found if self.defined else found * np.nan

    def freedom(self, values: Array) -> Array:
        """(...,): Satterthwaite's degrees of freedom of `of_mean`, at the shares that `values` (..., pairs) have.

        Where the lower bound holds, those of independent pairs.
        """
        shares = np.maximum(np.stack(self._squares(values), -1) @ self._shares.T, 0)
        form, (of_subjects, of_pairs) = self._form, self._causes
        first, second = form @ of_subjects, form @ of_pairs
        a, b = shares[..., 0], shares[..., 1]
        mean = a * np.trace(first) + b * np.trace(second)
        spread = (
            a**2 * np.sum(first * first.T) + 2 * a * b * np.sum(first * second.T) + b**2 * np.sum(second * second.T)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            own = np.where(spread > 0, mean**2 / spread, self._pairs - 1)
        freedom: Array = np.where(self._of_both(values) > self._of_pairs(values), own, self._pairs - 1)
        return freedom

    def _of_both(self, values: Array) -> Array:
        """The unbiased estimate, which may by chance be smaller than it can be."""
        found: Array = ((values @ self._form) * values).sum(-1)
        return found

    def _of_pairs(self, values: Array) -> Array:
        """That of independent pairs; NaN for a single one."""
        if self._pairs == 1:
            return np.full(values.shape[:-1], np.nan)
        found: Array = values.var(-1, ddof=1) / self._pairs
        return found

    def _squares(self, values: Array) -> tuple[Array, Array]:
        """The sums of squared deviations of pairs, and of subjects' sums of them."""
        deviations = values - values.mean(-1)[..., None]
        return (deviations**2).sum(-1), ((deviations @ self._belongs) ** 2).sum(-1)


def sides_of(lines: pd.DataFrame, first: Places) -> tuple[Places, Places] | None:
    """Both subjects of each pair, numbered, from the lines at `first`, one a pair; None where cases are no pairs."""
    subjects, partners = (lines[side].astype(str).to_numpy()[first] for side in ("subject", "partner"))
    if not partners.astype(bool).any():
        return None
    _, places = np.unique(np.concatenate([subjects, partners]), return_inverse=True)
    return places[: len(first)], places[len(first) :]
