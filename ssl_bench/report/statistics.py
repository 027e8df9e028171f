"""Intervals and tests over seeds and test cases: arrays in, numbers out.

The last two axes hold the seeds and the test cases. What a cell says of a case is its DSC, or for AUC what
`auc_components` makes of its probability; subtracted between two rows, those carry everything that a paired test needs.
An undefined number is NaN. What was compared before these routines were chosen, with the figures: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]
EXACT_UP_TO = 20
"""Cases up to which every pattern of signs is counted."""
FLIPS = 10_000
"""Patterns of signs drawn for more cases than that."""
ENOUGH_SEEDS = 3
"""From so many seeds on, methods are compared; with fewer, only the networks that were trained."""
_CHUNK = 64


class Interval(NamedTuple):
    """A value with its 95 % interval and standard error."""

    value: Array
    low: Array
    high: Array
    error: Array


class Parts(NamedTuple):
    """A mean over seeds and cases, and what its variance consists of: two crossed random effects and their residual.

    Below `ENOUGH_SEEDS` the seeds are taken as given: what they and the residual add is zero.
    """

    value: Array
    over_cases: Array
    """The variance of the mean from the spread of the cases, each averaged over seeds."""
    over_seeds: Array
    """That from the spread of the seeds, each averaged over cases."""
    residual: Array
    """What a seed does to single cases: contained in both, so that their sum has it once too often."""
    case_freedom: Array | int
    """An array where the rows have different ones, see `ssl_bench.report.units`."""
    seed_freedom: int
    skewness: Array
    """Of the mean, as far as it comes from the cases; zero where it is not corrected for."""

    def of_row(self, place: int) -> Parts:
        """Those of one among many."""
        arrays = {name: part[place] for name, part in self._asdict().items() if np.ndim(part)}
        return self._replace(**arrays)

    @property
    def variance(self) -> Array:
        """Of the mean, for new cases and, from `ENOUGH_SEEDS` on, new seeds; at least that over cases."""
        variance: Array = self.over_cases + np.maximum(self.over_seeds - self.residual, 0)
        return variance

    @property
    def error(self) -> Array:
        """The standard error of the mean."""
        return np.sqrt(self.variance)

    @property
    def freedom(self) -> Array:
        """Satterthwaite's degrees of freedom (1946) of `variance`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            uncertain = self.over_cases**2 / self.case_freedom
            if self.seed_freedom:
                both = self.over_seeds**2 / self.seed_freedom
                both = both + self.residual**2 / (self.case_freedom * self.seed_freedom)
                uncertain = uncertain + np.where(self.over_seeds > self.residual, both, 0)
            freedom: Array = self.variance**2 / uncertain
        return freedom


def mean_parts(values: Array) -> Parts:
    """The mean of `values` (..., seeds, cases); without variance for a single case."""
    by_case, parts = values.mean(-2), parts_of(values, _mean_and_variance, values.shape[-1] - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = ((by_case - by_case.mean(-1)[..., None]) ** 3).mean(-1) / by_case.std(-1) ** 3
        skewness = skewness / np.sqrt(values.shape[-1]) * (parts.over_cases / parts.variance) ** 1.5
    # Without spread over cases there is none.
    return parts._replace(skewness=np.nan_to_num(skewness))


def auc_parts(components: Array, positive: NDArray[np.bool_]) -> Parts:
    """The AUC averaged over seeds, or a difference of two, from components (..., seeds, cases); DeLong's variances."""
    return parts_of(components, lambda values: _delong(values, positive), len(positive) - 2)


def parts_of(values: Array, mean_and_variance: Callable[[Array], tuple[Array, Array]], case_freedom: int) -> Parts:
    """What `mean_and_variance` over the last axis makes of `values` (..., seeds, cases), crossed with the seeds."""
    seeds = values.shape[-2]
    by_case = values.mean(-2)
    value, over_cases = mean_and_variance(by_case)
    over_seeds, residual = np.zeros_like(value), np.zeros_like(value)
    if seeds >= ENOUGH_SEEDS:
        over_seeds = mean_and_variance(values)[0].var(-1, ddof=1) / seeds
        deviations = values - by_case[..., None, :]
        residual = mean_and_variance(deviations)[1].sum(-1) / (seeds * (seeds - 1))
    seed_freedom = seeds - 1 if seeds >= ENOUGH_SEEDS else 0
    return Parts(value, over_cases, over_seeds, residual, case_freedom, seed_freedom, np.zeros_like(value))


def _mean_and_variance(values: Array) -> tuple[Array, Array]:
    """The mean over the last axis, and its variance."""
    cases = values.shape[-1]
    return values.mean(-1), values.var(-1, ddof=1) / cases if cases > 1 else np.full(values.shape[:-1], np.nan)


def _delong(components: Array, positive: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The mean over positive cases, and its variance from both classes."""
    if min(positive.sum(), (~positive).sum()) < 2:
        undefined = np.full(components.shape[:-1], np.nan)
        return (components[..., positive].mean(-1) if positive.any() else undefined), undefined
    variances = [components[..., members].var(-1, ddof=1) / members.sum() for members in (positive, ~positive)]
    return components[..., positive].mean(-1), variances[0] + variances[1]


def mean_interval(parts: Parts) -> Interval:
    """The mean with Hall's skewness-corrected t interval; Student's for a difference of AUCs. NaN without spread."""
    error = _spread(parts)
    reach = special.stdtrit(parts.freedom, 0.975)
    low, high = (parts.value - error * _hall(quantile, parts.skewness) for quantile in (reach, -reach))
    return Interval(parts.value, low, high, error)


def _spread(parts: Parts) -> Array:
    """The standard error; NaN where it is but what exactly equal values leave for rounding errors."""
    spread: Array = np.where(parts.error > 1e-12, parts.error, np.nan)
    return spread


def _hall(quantile: Array, skewness: Array) -> Array:
    """The inverse of Hall's cubic transformation (1992), under which the studentised mean has no skewness."""
    # The skewness of few cases is mostly that of a single one; unbounded, it would stretch an interval beyond all use.
    bounded = np.clip(skewness, -0.25, 0.25)
    skewness = np.where(np.abs(bounded) < 1e-6, 1e-6, bounded)
    inverse: Array = 3 / skewness * (np.cbrt(1 + skewness * (quantile - skewness / 6)) - 1)
    return inverse


def auc_interval(parts: Parts) -> Interval:
    """The AUC with its interval on the logit scale; NaN bounds at 0 and 1, where DeLong's variance is zero."""
    value, error = parts.value, parts.error
    inside = (value > 0) & (value < 1)
    safe = np.where(inside, value, 0.5)
    reach = np.where(inside, special.stdtrit(parts.freedom, 0.975) * error / (safe * (1 - safe)), np.nan)
    low, high = (special.expit(special.logit(safe) + side * reach) for side in (-1, 1))
    return Interval(value, low, high, error)


def t_test(parts: Parts) -> Array:
    """Two-sided p of a zero mean over seeds and cases, or of equal AUCs.

    The tails of t with the seeds' and with the cases' degrees of freedom, weighted by what each adds to the variance,
    as Cochran and Cox (1957) weight quantiles: in the deep tails that a correction over many tests asks for, t with
    Satterthwaite's degrees of freedom finds too much. Without enough seeds, Student's t over cases.
    """
    error, weight = _tested(parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = _tails(np.abs(parts.value) / error, weight, parts)
    # Where nothing varies, any difference is certain; exactly equal values leave rounding errors.
    certain: Array = np.where(error < 1e-12, np.where(np.abs(parts.value) < 1e-12, 1.0, 0.0), p)
    return certain


def _tested(parts: Parts) -> tuple[Array, Array]:
    """The standard error of `t_test`, never below what cases or seeds alone say, and the seeds' share of it."""
    parts_alone = np.maximum(parts.over_cases, parts.over_seeds)
    variance = np.maximum(parts.over_cases + parts.over_seeds - parts.residual, parts_alone)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(variance), np.where(variance > 0, parts.over_seeds / variance, 0.0)


def _tails(t: Array, weight: Array, parts: Parts) -> Array:
    of_cases = special.stdtr(parts.case_freedom, -t)
    of_seeds = special.stdtr(parts.seed_freedom, -t) if parts.seed_freedom else of_cases
    both: Array = 2 * (weight * of_seeds + (1 - weight) * of_cases)
    return both


def auc_components(probabilities: Array, positive: NDArray[np.bool_]) -> Array:
    """DeLong's structural components of `probabilities` (..., cases).

    A positive case's is the share of negative cases ranked below it, a negative case's that of positive ones above it;
    ties count half. Their mean over either class is the AUC. NaN where a class has no case.
    """
    components = np.full(probabilities.shape, np.nan)
    if positive.any() and not positive.all():
        ahead = _ranks(probabilities)
        for label in (True, False):
            members = positive == label
            within = _ranks(probabilities[..., members])
            below = (ahead[..., members] - within) / (~members).sum()
            components[..., members] = below if label else 1 - below
    return components


def _ranks(values: Array) -> Array:
    """The rank of each of `values` (..., cases) among its row's, 1 for the smallest; equal ones share their mean."""
    rows = pd.DataFrame(values.reshape(-1, values.shape[-1]))
    ranks: Array = rows.rank(axis=1).to_numpy().reshape(values.shape)
    return ranks


def sign_flip_p(differences: Array, generator: np.random.Generator) -> Array:
    """Two-sided p of a zero mean for each row of `differences` (pairs, cases), by flipping signs.

    Exact up to `EXACT_UP_TO` cases, else from `FLIPS` patterns that all rows share, counting the observed one.
    """
    cases = differences.shape[1]
    if cases == 0:
        return np.full(len(differences), np.nan)
    # Sums in another order differ in the last bits; they are equal all the same.
    observed = np.abs(differences.sum(1)) - 1e-9 * np.abs(differences).sum(1)
    chunks = [slice(start, start + _CHUNK) for start in range(0, len(differences), _CHUNK)]
    if cases <= EXACT_UP_TO:
        return np.concatenate([np.empty(0), *[_exact(differences[rows], observed[rows]) for rows in chunks]])
    bits = np.unpackbits(generator.integers(0, 256, (FLIPS, -(-cases // 8)), dtype=np.uint8), axis=1, count=cases)
    signs = 2.0 * bits - 1.0
    counts = [(np.abs(signs @ differences[rows].T) >= observed[rows]).sum(0) for rows in chunks]
    return (1.0 + np.concatenate(counts)) / (1.0 + FLIPS) if counts else np.empty(0)


def _exact(differences: Array, least: Array) -> Array:
    """The share of sign patterns with a sum of at least `least` in size, for each row of `differences`.

    Sums of one half of the cases are looked up in the sorted sums of the other, of all rows in one go: each row is
    scaled to sums between -1 and 1 and shifted away from the others. As many sums lie below -`least` as above it.
    """
    rows, cases = differences.shape
    half, size = cases // 2, np.abs(differences).sum(1, keepdims=True)
    scale, shift = np.where(size > 0, size, 1), 4.0 * np.arange(rows)[:, None]
    first = differences[:, :half] / scale @ _signs(half).T
    second = np.sort(differences[:, half:] / scale @ _signs(cases - half).T, axis=1) + shift
    below = np.searchsorted(second.ravel(), least[:, None] / scale - first + shift)
    above = (np.arange(rows)[:, None] + 1) * second.shape[1] - below
    share: Array = 2.0 * above.sum(1) / 2.0**cases
    return np.minimum(1.0, share)


def _signs(cases: int) -> Array:
    bits: Array = (np.arange(2**cases)[:, None] >> np.arange(cases) & 1).astype(np.float64)
    return 2 * bits - 1


def smallest_p(cases: int) -> float:
    """What `sign_flip_p` can reach at best."""
    return 2.0 / 2.0**cases if cases <= EXACT_UP_TO else 1 / (1 + FLIPS)


def holm(p: Array) -> Array:
    """Holm's corrected p; a NaN belongs to no family and stays NaN."""
    corrected = np.full(p.shape, np.nan)
    defined = np.flatnonzero(~np.isnan(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps)) if len(order) else steps
    return corrected


def detectable_difference(parts: Parts, level: float) -> float:
    """The true difference that a two-sided test at `level` finds in about 80 % of draws, given one row's `parts`.

    The power of a t test stands for the sign flips', which differs little, and Satterthwaite's degrees of freedom for
    those of seeds and cases.
    """
    error, weight = (float(part) for part in _tested(parts))
    if not error > 0:
        return np.nan
    freedom = [float(parts.case_freedom), float(parts.seed_freedom or parts.case_freedom)]
    bounds = sorted(float(special.stdtrit(one, 1 - level / 2)) for one in freedom)
    if bounds[0] < bounds[1]:
        # Where cases or seeds are all of the variance, the answer is a bound itself, up to rounding.
        bounds = [bounds[0] * (1 - 1e-6), bounds[1] * (1 + 1e-6)]
        bounds[0] = optimize.brentq(lambda t: float(_tails(t, np.asarray(weight), parts)) - level, *bounds)
    return float(special.nctdtrinc(float(parts.freedom), 0.2, bounds[0])) * error


def rank_intervals(values: Array, p: Array) -> list[tuple[int, int]]:
    """First and last rank that each of `values` may hold, from corrected pairwise `p` (rows, rows) at 5 %."""
    better = (p < 0.05) & (values[None, :] > values[:, None])
    return [
        (1 + int(above), len(values) - int(below)) for above, below in zip(better.sum(1), better.sum(0), strict=True)
    ]
