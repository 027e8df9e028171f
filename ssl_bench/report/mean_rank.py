"""The mean rank of rows over all columns of a table, with an interval by resampling subjects, networks and seeds.

Ranks, unlike scores, may be averaged over columns of different metrics and of different difficulty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.stats import rankdata

from ssl_bench.report.scores import column_scores
from ssl_bench.report.statistics import ENOUGH_SEEDS, Array
from ssl_bench.report.table import Column, Row, Table
from ssl_bench.report.units import Mask, between_folds, by_subject, case_shares, fold_scores, within_folds

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

    The interval is an expanded percentile interval (Hesterberg 2015, section 5): subjects with all their test cases,
    the networks of pooled folds, and from `ENOUGH_SEEDS` seeds on seeds, are drawn with replacement, the same for all
    rows; columns with the same cases draw the same subjects, and all columns draw the same seeds. The deviations that a
    draw causes are stretched to the width of t intervals. It covers the mean rank to expect of a repetition with other
    cases and seeds, within which close rows change places. The same table gives the same bits.
    """
    rows = table.complete_rows if table.setting.ranked else []
    return ranks_over(table, rows, table.columns, Resampling(len(table.seeds)))


def ranks_over(table: Table, rows: Sequence[Row], columns: Sequence[Column], resampling: Resampling) -> MeanRanks:
    """The mean ranks of `rows` among each other over `columns` of `table`, in which they are complete."""
    if not rows:
        return MeanRanks([], np.empty(0), np.empty((0, 0)))
    signs = {column: table.metric(column).sign for column in columns}
    means = np.array([[sign * table.places[row, column].mean for row in rows] for column, sign in signs.items()])
    drawn = np.zeros((len(rows), DRAWS))
    for column in columns:
        cases = _cases(table, column, rows)
        if cases is None:
            drawn = np.empty((len(rows), 0))
            break
        drawn += _ranks(resampling.scores(cases)) / len(columns)
    return MeanRanks(rows, _ranks(means.T).mean(1), drawn)


class _Cases(NamedTuple):
    """What each seed and subject of a column contributes to the scores of the ranked rows."""

    values: Array
    """(rows, seeds, subjects), larger being better."""
    classes: Sequence[Mask]
    """Subjects that are drawn among each other; the first are those over which the mean is the score."""
    names: tuple[str, ...]
    """The task, and what the subjects are called."""
    folds: NDArray[np.intp] | None = None
    """The fold of each subject; None where there is one."""
    weights: Array | None = None
    """The share of the test cases that each fold has."""

    @property
    def by_seed(self) -> Array:
        """The score of each row and seed (rows, seeds)."""
        if self.folds is None or self.weights is None:
            mean: Array = self.values[..., self.classes[0]].mean(2)
            return mean
        scores: Array = fold_scores(self.values, self.classes, self.folds) @ self.weights
        return scores

    def contributions(self) -> tuple[Array, Array]:
        """What a subject adds to its row's score (rows, subjects), and what a fold's networks add (rows, folds).

        The folds' deviations are shrunk to what their subjects do not explain.
        """
        values = self.values.mean(1)
        if self.folds is None or self.weights is None:
            return values, np.zeros((len(values), 0))
        scores = fold_scores(values, self.classes, self.folds)
        added = np.empty_like(values)
        for place, fold in enumerate(np.unique(self.folds)):
            for members in self.classes:
                here = members & (self.folds == fold)
                share = self.weights[place] * members.sum() / max(1, here.sum())
                added[:, here] = share * (values[:, here] - scores[:, place, None])
        within = within_folds(values, self.classes, self.folds, self.weights)
        between = between_folds(scores, self.weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            shrink = np.sqrt(np.clip(1 - np.nan_to_num(within) / between, 0, None))
        off = len(self.weights) * self.weights * (scores - (scores @ self.weights)[:, None])
        return added, np.nan_to_num(shrink)[:, None] * off


def _cases(table: Table, column: Column, rows: Sequence[Row]) -> _Cases | None:
    """Those that are defined in all of `rows`; None where there is none."""
    found = column_scores(table, column)
    if found is None:
        return None
    places = [table.rows.index(row) for row in rows]
    seeds: Mask = np.logical_and.reduce(found.present[places])
    kept: Mask = np.logical_and.reduce(np.isfinite(found.values[places][:, seeds]), axis=(0, 1))
    positive, units = None if found.positive is None else found.positive[kept], found.units.of(kept)
    if not kept.any() or (positive is not None and (positive.all() or not positive.any())):
        return None
    names = [name for name, has in zip(found.names, kept, strict=True) if has]
    values, weights = found.metric.sign * found.case_values(places, seeds, kept), case_shares(units.folds)
    if units.repeated:
        names = [names[np.flatnonzero(units.subjects == subject)[0]] for subject in np.unique(units.subjects)]
        values, positive, units = by_subject(values, positive, units)
    classes = [np.ones(values.shape[2], dtype=bool)] if positive is None else [positive, ~positive]
    pooled = (units.folds, weights) if units.pooled else ()
    return _Cases(values, classes, (column[0], *names), *pooled)


def _ranks(scores: Array) -> Array:
    """The rank of each row of `scores` (rows, ...) in every column, 1 for the largest."""
    ranks: Array = rankdata(-np.round(scores, _DIGITS), axis=0)
    return ranks


class Resampling:
    """Draws of seeds and cases, which columns share; the same each time it is made."""

    def __init__(self, seeds: int, generator: np.random.Generator | None = None) -> None:
        """For columns with so many seeds; a simulation gives its own `generator`."""
        self._generator = generator or np.random.default_rng(0)
        self._seeds = self._drawn(seeds) if seeds >= ENOUGH_SEEDS else np.zeros((DRAWS, seeds))
        self._weights: dict[tuple[str, ...], Array] = {}

    def scores(self, cases: _Cases) -> Array:
        """The score of each row in each draw (rows, draws): its mean, and what seeds, subjects and networks add to it.

        For AUC to first order, by DeLong's components, drawn among positive and negative cases separately.
        """
        by_seed = cases.by_seed
        of_subjects, of_networks = cases.contributions()
        added = by_seed @ self._seeds.T + of_subjects @ self._of_cases(cases).T
        if of_networks.shape[1]:
            added = added + of_networks @ self._drawn(of_networks.shape[1]).T
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
