"""The rows of a table compared in each column: who is better, by how much, and what the tests could have shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ssl_bench.api.metric import Metric
from ssl_bench.errors import UserError
from ssl_bench.report import statistics, units
from ssl_bench.report.class_statistics import share_interval
from ssl_bench.report.family import Family
from ssl_bench.report.regression_statistics import OF_NUMBERS
from ssl_bench.report.scores import Scores, column_scores
from ssl_bench.report.statistics import ENOUGH_SEEDS, Array, Interval, Parts
from ssl_bench.report.table import Column, Row, Table
from ssl_bench.report.units import Mask, Units

_PAIRS = 1024
"""Pairs of rows compared at a time, which bounds memory."""


@dataclass(frozen=True)
class Difference:
    """One row minus another, over the seeds and cases that both have."""

    estimate: Interval
    parts: Parts
    p: float
    """Uncorrected."""
    cases: int
    subjects: int
    by_seed: dict[int, float]
    """The difference of each seed's scores."""
    least_p: float
    """What the test could reach at best with so many cases."""

    @property
    def of_methods(self) -> bool:
        """Whether it speaks of methods; else of the networks that were trained."""
        return len(self.by_seed) >= ENOUGH_SEEDS

    @property
    def standardised(self) -> float:
        """The difference in standard deviations of the paired differences (Cohen's d_z); for AUC its analogue."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self.estimate.value / np.sqrt(self.parts.over_cases * self.subjects))

    def detectable(self, family: int) -> float:
        """The true difference found in 80 % of draws at 5 % corrected for `family` tests; infinite where none is."""
        if self.least_p * family >= 0.05:
            return np.inf
        return statistics.detectable_difference(self.parts, 0.05 / family)


@dataclass(frozen=True)
class Summary:
    """One row by itself."""

    estimate: Interval
    """The mean over cases of the mean over seeds, or the AUC or macro AUC averaged over seeds."""
    cases: int
    """With a defined score under each of the row's seeds."""
    seeds: tuple[int, ...]
    seed_spread: float
    """Standard deviation of the score over seeds; NaN for a single one."""
    subjects: int
    folds: int

    @property
    def of_methods(self) -> bool:
        """Whether its interval speaks of the method; else of the networks that were trained."""
        return len(self.seeds) >= ENOUGH_SEEDS


class Standing(NamedTuple):
    """Where a row stands among the complete rows of its column."""

    first: int
    last: int
    best_p: float
    """p of the difference to the best row, corrected over all pairs; NaN for the best row itself."""


@dataclass(frozen=True)
class ColumnStatistics:
    """What one column says."""

    metric: Metric
    cases: int
    of_pairs: bool
    """Whether what is called a case is a pair of test cases."""
    subjects: int
    folds: int
    """Of which networks the cases were scored."""
    seeds: tuple[int, ...]
    baseline: Row | None
    summaries: dict[Row, Summary]
    differences: dict[Row, Difference]
    """To the baseline."""
    difference_p: dict[Row, float]
    """Corrected over the family of comparisons with the baseline."""
    comparisons: int
    """How many that family has."""
    standings: dict[Row, Standing]
    """The standings of rows with every case of the column and every cell of the table; no other row is ranked."""
    pairs: int
    """The family over which standings are corrected."""
    least_p: float
    """What the test of a pair could reach at best with so many cases, uncorrected."""

    @property
    def could_rank(self) -> bool:
        """Whether any pair could be told apart at 5 %, corrected."""
        return self.least_p * self.pairs < 0.05

    def differs(self, row: Row) -> bool:
        """Whether `row` differs from the baseline: p, corrected, below 0.05."""
        return self.difference_p.get(row, 1.0) < 0.05

    @property
    def of_methods(self) -> bool:
        """Whether its seeds are enough to speak of methods; else it speaks of the networks that were trained."""
        return len(self.seeds) >= ENOUGH_SEEDS


def baseline_label(tables: Iterable[Table], option: str | None) -> str:
    """The label of the row that others are compared with: `option`, or scratch. Raises UserError if no table has it."""
    labels = {row.label for table in tables for row in table.rows}
    if option is not None and option not in labels:
        raise UserError(f"--baseline {option}: no such row; there is {', '.join(sorted(labels)) or 'none yet'}")
    return option or "scratch"


class _Tests(NamedTuple):
    """What is known of a column before its p are corrected; rows by their places in the table."""

    scores: Scores
    summaries: dict[int, Summary]
    baseline: int | None
    differences: dict[int, Difference]
    ranked: list[int]
    means: Array
    """Of `ranked`, larger being better."""
    pair_p: Array
    """Of all pairs of `ranked`, in the order of the upper triangle."""


def compare_columns(table: Table, baseline: str, family: Family = Family.column) -> dict[Column, ColumnStatistics]:
    """The statistics of every column of which some record holds the scores of its cases.

    `baseline` is a row's label; where a column has no such row, nothing is compared with it. p are corrected by Holm
    over `family`: the comparisons with the baseline, and separately all pairs.
    """
    found = {column: tests for column in table.columns if (tests := _tests(table, column, baseline)) is not None}
    differences = [np.array([one.p for one in tests.differences.values()]) for tests in found.values()]
    pairs = [tests.pair_p for tests in found.values()]
    corrected = zip(_corrected(differences, family), _corrected(pairs, family), strict=True)
    return {
        column: _statistics(table, tests, *both) for (column, tests), both in zip(found.items(), corrected, strict=True)
    }


def _corrected(p: Sequence[Array], family: Family) -> list[tuple[Array, int]]:
    """Each column's p, corrected, and over how many."""
    if family == Family.column:
        return [(statistics.holm(own), len(own)) for own in p]
    every = np.concatenate([np.empty(0), *p])
    ends = np.cumsum([len(own) for own in p])[:-1]
    return [(own, len(every)) for own in np.split(statistics.holm(every), ends)] if p else []


def _tests(table: Table, column: Column, baseline: str) -> _Tests | None:
    scores = column_scores(table, column)
    if scores is None:
        return None
    summaries = summarise(scores)
    base = next((place for place in summaries if table.rows[place].label == baseline), None)
    generator = np.random.default_rng(0)
    differences = {} if base is None else subtract(scores, base, generator)
    complete = set(table.complete_rows)
    ranked = [
        place
        for place, summary in summaries.items()
        if table.rows[place] in complete and summary.cases == scores.cases and not np.isnan(summary.estimate.value)
    ]
    means = scores.metric.sign * np.array([float(summaries[place].estimate.value) for place in ranked])
    return _Tests(scores, summaries, base, differences, ranked, means, _pair_p(scores, ranked, generator))


def _statistics(
    table: Table, tests: _Tests, difference_p: tuple[Array, int], pair_p: tuple[Array, int]
) -> ColumnStatistics:
    rows = table.rows
    standings = _standings(tests.means, pair_p[0])
    return ColumnStatistics(
        metric=tests.scores.metric,
        cases=tests.scores.cases,
        of_pairs=tests.scores.units.partners is not None,
        subjects=tests.scores.units.count,
        folds=tests.scores.units.networks,
        seeds=tests.scores.seeds,
        baseline=None if tests.baseline is None else rows[tests.baseline],
        summaries={rows[place]: summary for place, summary in tests.summaries.items()},
        differences={rows[place]: difference for place, difference in tests.differences.items()},
        difference_p={rows[place]: float(p) for place, p in zip(tests.differences, difference_p[0], strict=True)},
        comparisons=difference_p[1],
        standings={rows[place]: standing for place, standing in zip(tests.ranked, standings, strict=True)},
        pairs=pair_p[1],
        least_p=_least_p(tests.scores.is_mean, len(tests.scores.seeds), tests.scores.units),
    )


def summarise(scores: Scores) -> dict[int, Summary]:
    """The scores of each row by themselves, by its place; NaN where nothing is defined."""
    defined = np.isfinite(scores.values)
    masks = {
        row: (present, defined[row][present].all(0)) for row, present in enumerate(scores.present) if present.any()
    }
    found: dict[int, Summary] = {}
    for rows, seeds, kept in _alike(masks):
        values, grouped = scores.case_values(rows, seeds, kept), scores.units.of(kept)
        ran = tuple(seed for seed, has in zip(scores.seeds, seeds, strict=True) if has)
        undefined, by_seed = np.full(len(rows), np.nan), np.full((len(rows), len(ran)), np.nan)
        estimate = Interval(undefined, undefined, undefined, undefined)
        if scores.positive is not None and scores.positive[kept].any():
            positive = scores.positive[kept]
            estimate = statistics.auc_interval(units.parts_of(values, positive, grouped))
            by_seed = units.score_of(values, positive, grouped)
        elif scores.positive is None and kept.any():
            estimate = _mean_estimate(scores.metric, units.parts_of(values, None, grouped), grouped.count)
            by_seed = units.score_of(values, None, grouped)
        spread = by_seed.std(1, ddof=1) if len(ran) > 1 else undefined
        for row, own, among in zip(rows, zip(*estimate, strict=True), spread, strict=True):
            found[row] = Summary(Interval(*own), int(kept.sum()), ran, float(among), grouped.count, grouped.networks)
    return dict(sorted(found.items()))


def _mean_estimate(metric: Metric, parts: Parts, subjects: int) -> Interval:
    """The mean of what cases have or contribute, whose variance has these parts, with the metric's own interval."""
    if metric.name == "macro AUC":
        return statistics.auc_interval(parts)
    if metric.name in ("accuracy", "balanced accuracy"):
        return share_interval(parts, subjects)
    if metric.name in OF_NUMBERS:
        return OF_NUMBERS[metric.name].interval(parts)
    estimate = statistics.mean_interval(parts)
    # No DSC and no error lies outside, so no mean does.
    low, high = (np.clip(end, metric.lowest, metric.highest) for end in (estimate.low, estimate.high))
    return estimate._replace(low=low, high=high)


def subtract(scores: Scores, base: int, generator: np.random.Generator) -> dict[int, Difference]:
    """Every other row minus the row at the place `base`, by its place; a case undefined on either side is dropped.

    Rows without a common seed or case are left out.
    """
    masks = {}
    for row, present in enumerate(scores.present):
        seeds = present & scores.present[base]
        if row != base and seeds.any():
            masks[row] = seeds, np.isfinite(scores.values[row, seeds] - scores.values[base, seeds]).all(0)
    found = {}
    for rows, seeds, kept in _alike(masks):
        if not kept.any():
            continue
        positive = None if scores.positive is None else scores.positive[kept]
        values = scores.case_values(rows, seeds, kept) - scores.case_values([base], seeds, kept)
        grouped = scores.units.of(kept)
        parts, p = _tested(values, positive, scores.is_mean, grouped, generator)
        by_seed = units.score_of(values, positive, grouped)
        ran = [seed for seed, has in zip(scores.seeds, seeds, strict=True) if has]
        estimate, least = statistics.mean_interval(parts), _least_p(scores.is_mean, len(ran), grouped)
        parts = units.for_tests(parts, grouped, len(ran))
        for place, row in enumerate(rows):
            found[row] = Difference(
                Interval(*(part[place] for part in estimate)),
                parts.of_row(place),
                float(p[place]),
                values.shape[2],
                grouped.count,
                dict(zip(ran, map(float, by_seed[place]), strict=True)),
                least,
            )
    return dict(sorted(found.items()))


def _tested(
    values: Array, positive: Mask | None, is_mean: bool, grouped: Units, generator: np.random.Generator
) -> tuple[Parts, Array]:
    """Paired differences (pairs, seeds, cases) with the p of each: of methods, or else of the networks."""
    parts, seeds = units.parts_of(values, positive, grouped), values.shape[1]
    if _flips_signs(is_mean, seeds, grouped):
        return parts, _each_p(units.subject_sums(values.mean(1), grouped), generator)
    return parts, statistics.t_test(units.for_tests(parts, grouped, seeds))


def _flips_signs(is_mean: bool, seeds: int, grouped: Units) -> bool:
    """Whether a test is by flips of signs: of means, where subjects are all that it is over, each in its own cases."""
    return is_mean and seeds < ENOUGH_SEEDS and not grouped.pooled and grouped.partners is None


def _least_p(is_mean: bool, seeds: int, grouped: Units) -> float:
    """What the test of a difference over so many seeds and subjects can reach at best."""
    return statistics.smallest_p(grouped.count) if _flips_signs(is_mean, seeds, grouped) else 0.0


def _each_p(differences: Array, generator: np.random.Generator) -> Array:
    """The p of each row's own test; patterns of signs are drawn anew for each."""
    if differences.shape[1] <= statistics.EXACT_UP_TO:
        return statistics.sign_flip_p(differences, generator)
    return np.concatenate([statistics.sign_flip_p(row[None], generator) for row in differences])


def _alike(masks: dict[int, tuple[Mask, Mask]]) -> Iterator[tuple[list[int], Mask, Mask]]:
    """The rows that have the same seeds and cases, together, with those."""
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for row, (seeds, kept) in masks.items():
        groups.setdefault((seeds.tobytes(), kept.tobytes()), []).append(row)
    for rows in groups.values():
        yield rows, *masks[rows[0]]


def _pair_p(scores: Scores, rows: list[int], generator: np.random.Generator) -> Array:
    """The p of all pairs of `rows`, uncorrected; those of a column share their patterns of signs."""
    if len(rows) < 2:
        return np.empty(0)
    every = np.ones(scores.cases, dtype=bool)
    values = scores.case_values(rows, scores.present[rows[0]], every)
    first, second = np.triu_indices(len(rows), 1)
    if _flips_signs(scores.is_mean, values.shape[1], scores.units):
        by_case = units.subject_sums(values.mean(1), scores.units)
        return statistics.sign_flip_p(by_case[first] - by_case[second], generator)
    starts = range(0, len(first), _PAIRS)
    pairs = [(first[start : start + _PAIRS], second[start : start + _PAIRS]) for start in starts]
    known = scores.positive, scores.is_mean, scores.units, generator
    return np.concatenate([_tested(values[one] - values[two], *known)[1] for one, two in pairs])


def _standings(means: Array, p: Array) -> list[Standing]:
    """Where rows with these means, larger being better, stand, from the corrected p of all their pairs."""
    if not len(means):
        return []
    corrected: Array = np.full((len(means), len(means)), np.nan)
    first, second = np.triu_indices(len(means), 1)
    corrected[first, second] = corrected[second, first] = p
    best_p = corrected[int(means.argmax())]
    intervals = statistics.rank_intervals(means, corrected)
    return [Standing(*interval, float(p)) for interval, p in zip(intervals, best_p, strict=True)]
