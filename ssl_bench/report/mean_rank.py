"""The mean rank of rows over all columns of a table, with an interval by resampling cases and seeds.

Ranks, unlike scores, may be averaged over columns of different metrics and of different difficulty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special
from scipy.stats import rankdata

from ssl_bench.report.comparison import Mask, column_scores
from ssl_bench.report.statistics import ENOUGH_SEEDS, Array
from ssl_bench.report.table import Column, Row, Table

DRAWS = 2_000
_DIGITS = 9
"""Scores that differ beyond these are equal: sums in another order differ in their last bits."""


class MeanRank(NamedTuple):
    """A mean rank, 1 for who is best everywhere, with its 95 % interval; NaN bounds where cases are not known."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MeanRanks:
    """The mean ranks of a table's complete rows; of no row where nothing is ranked."""

    rows: Sequence[Row]
    values: Array
    """(rows,)"""
    draws: Array
    """(rows, draws); no draws where a column lacks the scores of its cases."""

    def over(self, rows: Sequence[Row]) -> MeanRank | None:
        """The mean over `rows`, of which those that are not ranked are left out; None where none is."""
        places = [place for place, row in enumerate(self.rows) if row in rows]
        if not places:
            return None
        draws = self.draws[places].mean(0)
        low, high = np.quantile(draws, (0.025, 0.975)) if len(draws) else (np.nan, np.nan)
        return MeanRank(float(self.values[places].mean()), float(low), float(high))


def mean_ranks(table: Table) -> MeanRanks:
    """Each complete row's rank in every column, averaged; ties share their mean rank.

    The interval is an expanded percentile interval (Hesterberg 2015, section 5): test cases, and from `ENOUGH_SEEDS`
    seeds on seeds, are drawn with replacement, the same for all rows; columns with the same cases draw the same, and
    all columns draw the same seeds. The deviations that a draw causes are stretched to the width of t intervals. It
    covers the mean rank to expect of a repetition with other cases and seeds, within which close rows change places.
    The same table gives the same bits.
    """
    rows = table.complete_rows if table.setting.ranked else []
    if not rows:
        return MeanRanks([], np.empty(0), np.empty((0, 0)))
    signs = {column: table.metric(column).sign for column in table.columns}
    means = np.array([[sign * table.places[row, column].mean for row in rows] for column, sign in signs.items()])
    resampling = _Resampling(np.random.default_rng(0), len(table.seeds))
    drawn = np.zeros((len(rows), DRAWS))
    for column in table.columns:
        cases = _cases(table, column, rows)
        if cases is None:
            drawn = np.empty((len(rows), 0))
            break
        drawn += _ranks(resampling.scores(cases)) / len(table.columns)
    return MeanRanks(rows, _ranks(means.T).mean(1), drawn)


class _Cases(NamedTuple):
    """What each seed and case of a column contributes to the scores of the ranked rows."""

    values: Array
    """(rows, seeds, cases), larger being better."""
    classes: Sequence[Mask]
    """Cases that are drawn among each other; the first are those over which the mean is the score."""
    names: tuple[str, ...]
    """The task, and what the cases are called."""


def _cases(table: Table, column: Column, rows: Sequence[Row]) -> _Cases | None:
    """Those that are defined in all of `rows`; None where there is none."""
    found = column_scores(table, column)
    if found is None:
        return None
    places = [table.rows.index(row) for row in rows]
    seeds: Mask = np.logical_and.reduce(found.present[places])
    kept: Mask = np.logical_and.reduce(np.isfinite(found.values[places][:, seeds]), axis=(0, 1))
    classes = [kept[kept]] if found.positive is None else [found.positive[kept], ~found.positive[kept]]
    if not all(members.any() for members in classes):
        return None
    names = [name for name, has in zip(found.names, kept, strict=True) if has]
    values = found.metric.sign * found.case_values(places, seeds, kept)
    return _Cases(values, classes, (column[0], *names))


def _ranks(scores: Array) -> Array:
    """The rank of each row of `scores` (rows, ...) in every column, 1 for the largest."""
    ranks: Array = rankdata(-np.round(scores, _DIGITS), axis=0)
    return ranks


class _Resampling:
    """Draws of seeds and cases, which columns share."""

    def __init__(self, generator: np.random.Generator, seeds: int) -> None:
        self._generator = generator
        self._seeds = self._drawn(seeds) if seeds >= ENOUGH_SEEDS else np.zeros((DRAWS, seeds))
        self._weights: dict[tuple[str, ...], Array] = {}

    def scores(self, cases: _Cases) -> Array:
        """The score of each row in each draw (rows, draws): its mean, and what the seeds and cases drawn add to it.

        For AUC to first order, by DeLong's components, drawn among positive and negative cases separately.
        """
        by_seed = cases.values[..., cases.classes[0]].mean(2)
        added = by_seed @ self._seeds.T + cases.values.mean(1) @ self._of_cases(cases).T
        drawn: Array = by_seed.mean(1)[:, None] + added
        return drawn

    def _of_cases(self, cases: _Cases) -> Array:
        if cases.names not in self._weights:
            weights = np.zeros((DRAWS, cases.values.shape[2]))
            for members in cases.classes:
                weights[:, members] = self._drawn(int(members.sum()))
            self._weights[cases.names] = weights
        return self._weights[cases.names]

    def _drawn(self, count: int) -> Array:
        """How far each of `count` weighs more or less than its share in each draw, stretched (draws, count)."""
        if count < 2:
            return np.zeros((DRAWS, count))
        drawn = self._generator.multinomial(count, np.full(count, 1 / count), DRAWS) / count - 1 / count
        stretch = np.sqrt(count / (count - 1)) * special.stdtrit(count - 1, 0.975) / special.ndtri(0.975)
        stretched: Array = stretch * drawn
        return stretched
