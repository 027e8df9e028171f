"""Spearman's rank correlation with an interval, or a word where there are too few pairs for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

ENOUGH_PAIRS = 10
"""With fewer, an interval would be as wide as what is possible."""


class Correlation(NamedTuple):
    """Of so many pairs."""

    value: float
    """Spearman's; NaN where one side does not vary or there are fewer than three pairs."""
    low: float
    """Of the 95 % interval; NaN below `ENOUGH_PAIRS`."""
    high: float
    pairs: int

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"n/a, {self.pairs} pair{'s' if self.pairs != 1 else ''}"
        if math.isnan(self.low):
            return f"{self.value:+.2f}, {self.pairs} pairs: too few for an interval"
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}], {self.pairs} pairs"


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> Correlation:
    """Of the pairs in which both are finite.

    The interval is Fisher's z with the standard error of Bonett and Wright (Psychometrika 2000, 65:23), sqrt((1 + r^2 /
    2) / (n - 3)).
    """
    pairs = np.array([pair for pair in zip(first, second, strict=True) if np.isfinite(pair).all()])
    count = len(pairs)
    if count < 3 or (pairs == pairs[0]).all(0).any():
        return Correlation(math.nan, math.nan, math.nan, count)
    value = float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    if count < ENOUGH_PAIRS:
        return Correlation(value, math.nan, math.nan, count)
    reach = 1.959964 * math.sqrt((1 + value**2 / 2) / (count - 3))
    centre = math.atanh(min(max(value, -1 + 1e-12), 1 - 1e-12))
    return Correlation(value, math.tanh(centre - reach), math.tanh(centre + reach), count)
