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
    """The mean of `values` (..., seeds, pairs) and its variance over subjects, one degree of freedom less than those.

    `subjects` and `partners` (pairs,) number both sides of each pair.
    """
    count = len(np.unique(np.concatenate([subjects, partners])))

    def mean_and_variance(of_pairs: Array) -> tuple[Array, Array]:
        return of_pairs.mean(-1), dyadic_variance(of_pairs, subjects, partners)

    return statistics.parts_of(values, mean_and_variance, count - 1)


def dyadic_variance(values: Array, subjects: Places, partners: Places) -> Array:
    """The variance of the mean of `values` (..., pairs) for new subjects; NaN for fewer than three.

    The sum of products of deviations over all pairs of pairs that share a subject, over the square of their number
    (Aronow, Samii and Assenova, Political Analysis 2015, 23:564, Eq. 4), times n / (n - 1) for n subjects. It is what
    resampling subjects with all their pairs estimates. That of independent pairs is its lower bound: subjects make
    pairs more alike, and by chance the sum may fall below.
    """
    names = np.unique(np.concatenate([subjects, partners]))
    pairs, count = values.shape[-1], len(names)
    if count < 3:
        return np.full(values.shape[:-1], np.nan)
    deviations = values - values.mean(-1)[..., None]
    belongs = (subjects[:, None] == names).astype(np.float64) + (partners[:, None] == names)
    # Two directions of one pair share both subjects: they are counted twice, as is every pair with itself.
    ends = np.sort(np.stack([subjects, partners], axis=1), axis=1)
    same = pd.MultiIndex.from_arrays(ends.T).factorize()[0]
    together = (same[:, None] == np.arange(same.max() + 1)).astype(np.float64)
    shared = ((deviations @ belongs) ** 2).sum(-1) - ((deviations @ together) ** 2).sum(-1)
    least = values.var(-1, ddof=1) / pairs
    return np.maximum(shared / pairs**2 * count / (count - 1), least)


def sides_of(lines: pd.DataFrame, first: Places) -> tuple[Places, Places] | None:
    """Both subjects of each pair, numbered, from the lines at `first`, one a pair; None where cases are no pairs."""
    subjects, partners = (lines[side].astype(str).to_numpy()[first] for side in ("subject", "partner"))
    if not partners.astype(bool).any():
        return None
    _, places = np.unique(np.concatenate([subjects, partners]), return_inverse=True)
    return places[: len(first)], places[len(first) :]
