"""Intervals and tests over test cases: arrays in, numbers out.

The last axis holds the test cases. A cell's case values are its DSC per case, or for AUC its `auc_components`; averaged
over seeds, and subtracted between two rows, they carry everything that an interval or a paired test needs. An undefined
number is NaN. What was compared before these routines were chosen, with the figures: docs/statistics.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
EXACT_UP_TO = 20
"""Cases up to which every pattern of signs is counted."""
FLIPS = 10_000
"""Patterns of signs drawn for more cases than that."""
ENOUGH_SEEDS = 5
"""Below this, nothing is said of seeds that were not run."""
_CHUNK = 64


class Interval(NamedTuple):
    """A value with its 95 % interval and standard error over test cases."""

    value: Array
    low: Array
    high: Array
    error: Array


def mean_estimate(values: Array) -> Interval:
    """The mean of `values` (..., cases) with Hall's skewness-corrected t interval; NaN bounds without spread."""
    cases = values.shape[-1]
    mean, spread = values.mean(-1), values.std(-1, ddof=1) if cases > 1 else np.full(values.shape[:-1], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = ((values - mean[..., None]) ** 3).mean(-1) / values.std(-1) ** 3
    # Exactly equal values leave rounding errors for a spread.
    spread = np.where(spread > 1e-12, spread, np.nan)
    reach = special.stdtrit(cases - 1, 0.975) / np.sqrt(cases) if cases > 1 else np.nan
    low = mean - spread * _hall(reach, skewness, cases)
    high = mean - spread * _hall(-reach, skewness, cases)
    return Interval(mean, low, high, spread / np.sqrt(cases))


def _hall(quantile: float, skewness: Array, cases: int) -> Array:
    """The inverse of Hall's cubic transformation (1992), under which the studentised mean has no skewness."""
    # The skewness of few cases is mostly that of a single one; unbounded, it would stretch an interval beyond all use.
    bounded = np.clip(skewness, -np.sqrt(cases) / 4, np.sqrt(cases) / 4)
    skewness = np.where(np.abs(bounded) < 1e-6, 1e-6, bounded)
    inverse: Array = 3 / skewness * (np.cbrt(1 + skewness * (quantile - skewness / (6 * cases))) - 1)
    return inverse


def auc_components(probabilities: Array, positive: NDArray[np.bool_]) -> Array:
    """DeLong's structural components of `probabilities` (..., cases).

    A positive case's is the share of negative cases ranked below it, a negative case's that of positive ones above it;
    ties count half. Their mean over either class is the AUC. NaN where a class has no case.
    """
    ahead = _ranks(probabilities)
    components = np.full(probabilities.shape, np.nan)
    if positive.any() and not positive.all():
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


def auc_estimate(components: Array, positive: NDArray[np.bool_]) -> Interval:
    """The AUC with DeLong's interval on the logit scale; NaN bounds at 0 and 1, where DeLong's variance is zero."""
    value, error = _delong(components, positive)
    inside = (value > 0) & (value < 1)
    safe = np.where(inside, value, 0.5)
    reach = np.where(inside, special.ndtri(0.975) * error / (safe * (1 - safe)), np.nan)
    low, high = (special.expit(special.logit(safe) + side * reach) for side in (-1, 1))
    return Interval(value, low, high, error)


def auc_difference(components: Array, positive: NDArray[np.bool_]) -> tuple[Interval, Array]:
    """DeLong's paired comparison from differences of components (..., cases): the difference, and its p.

    Student's t with cases - 2 degrees of freedom stands for DeLong's normal, which finds too much in small test sets.
    """
    value, error = _delong(components, positive)
    freedom = len(positive) - 2
    reach = special.stdtrit(freedom, 0.975) * np.where(error > 0, error, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(error == 0, np.where(value == 0, 1.0, 0.0), 2 * special.stdtr(freedom, -np.abs(value) / error))
    return Interval(value, value - reach, value + reach, error), p


def _delong(components: Array, positive: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The mean over positive cases, and its standard error from both classes."""
    if min(positive.sum(), (~positive).sum()) < 2:
        undefined = np.full(components.shape[:-1], np.nan)
        return (components[..., positive].mean(-1) if positive.any() else undefined), undefined
    variances = [components[..., members].var(-1, ddof=1) / members.sum() for members in (positive, ~positive)]
    return components[..., positive].mean(-1), np.sqrt(variances[0] + variances[1])


def new_seeds_interval(scores: Array, error: float, freedom: float) -> tuple[float, float]:
    """Where the mean score of new seeds on new cases may lie: t with Satterthwaite's degrees of freedom.

    `scores` (seeds,) holds one score a seed; `error` is the standard error of their mean over cases, with `freedom`
    degrees of freedom. What a seed does to single cases counts in both parts, which errs on the wide side. NaN below
    `ENOUGH_SEEDS`, and where `error` is.
    """
    if len(scores) < ENOUGH_SEEDS or np.isnan(error):
        return np.nan, np.nan
    over_cases, over_seeds = error**2, float(scores.var(ddof=1)) / len(scores)
    variance = over_cases + over_seeds
    joint = variance**2 / (over_cases**2 / freedom + over_seeds**2 / (len(scores) - 1)) if variance else freedom
    reach = float(special.stdtrit(joint, 0.975)) * variance**0.5
    return float(scores.mean()) - reach, float(scores.mean()) + reach


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


def detectable_difference(error: float, level: float, freedom: float) -> float:
    """The true difference that a two-sided test at `level` finds in 80 % of draws, given the standard `error`.

    A t test's power stands for the sign flips', which differs little.
    """
    return float(special.nctdtrinc(freedom, 0.2, special.stdtrit(freedom, 1 - level / 2)) * error)


def rank_intervals(values: Array, p: Array) -> list[tuple[int, int]]:
    """First and last rank that each of `values` may hold, from corrected pairwise `p` (rows, rows) at 5 %."""
    better = (p < 0.05) & (values[None, :] > values[:, None])
    return [
        (1 + int(above), len(values) - int(below)) for above, below in zip(better.sum(1), better.sum(0), strict=True)
    ]
