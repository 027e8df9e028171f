"""The rows of one column compared: who is better, by how much, and what this test set could have shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ssl_bench.errors import UserError
from ssl_bench.report import statistics
from ssl_bench.report.case_scores import Difference, Scores, case_names, defined, read_scores, subtract
from ssl_bench.report.statistics import Array, Estimate
from ssl_bench.report.table import Column, Row, Table


@dataclass(frozen=True)
class Summary:
    """One row by itself."""

    estimate: Estimate
    """The mean over cases of the mean over seeds, or the AUC averaged over seeds."""
    cases: int
    """With a defined score under each of the row's seeds."""
    seeds: tuple[int, ...]
    seed_spread: float
    """Standard deviation of the score over seeds; NaN for a single one."""
    new_seeds: tuple[float, float]
    """An interval for seeds that were not run; NaN for too few."""


class Standing(NamedTuple):
    """Where a row stands among the complete rows of its column."""

    first: int
    last: int
    best_p: float
    """Of the difference to the best row, corrected over all pairs, since the same scores chose the best; NaN for it."""


@dataclass(frozen=True)
class ColumnStatistics:
    """What one column says."""

    cases: int
    seeds: tuple[int, ...]
    baseline: Row | None
    summaries: dict[Row, Summary]
    differences: dict[Row, Difference]
    """To the baseline."""
    difference_p: dict[Row, float]
    """Corrected over `differences`."""
    standings: dict[Row, Standing]
    """Of the rows with every case of the column and every cell of the table: no other is ranked."""

    @property
    def pairs(self) -> int:
        """The family over which standings are corrected."""
        return len(self.standings) * (len(self.standings) - 1) // 2


def baseline_label(tables: Iterable[Table], option: str | None) -> str:
    """The label of the row that others are compared with: `option`, or scratch. Raises UserError if no table has it."""
    labels = {row.label for table in tables for row in table.cells}
    if option is not None and option not in labels:
        raise UserError(f"--baseline {option}: no such row; there is {', '.join(sorted(labels)) or 'none yet'}")
    return option or "scratch"


def compare_rows(table: Table, column: Column, baseline: str) -> ColumnStatistics | None:
    """The statistics of `column`; None where no record holds the scores of its cases.

    `baseline` is a row's label; where the column has no such row, nothing is compared with it.
    """
    records = {row: table.cells[row][column] for row in table.rows if column in table.cells[row]}
    cases = case_names(record for by_seed in records.values() for record in by_seed.values())
    if not cases:
        return None
    seeds = tuple(sorted({seed for by_seed in records.values() for seed in by_seed}))
    scores = {row: read_scores(by_seed, cases) for row, by_seed in records.items()}
    summaries = {row: summarise(found) for row, found in scores.items()}
    generator = np.random.default_rng(0)
    base = next((row for row in scores if row.label == baseline), None)
    found = {row: subtract(scores[row], scores[base], generator) for row in scores if base and row != base}
    differences = {row: difference for row, difference in found.items() if difference is not None}
    corrected = statistics.holm(np.array([difference.p for difference in differences.values()]))
    complete = {
        row: scores[row]
        for row, summary in summaries.items()
        if table.is_complete(row) and summary.cases == len(cases) and not np.isnan(summary.estimate.value)
    }
    return ColumnStatistics(
        cases=len(cases),
        seeds=seeds,
        baseline=base,
        summaries=summaries,
        differences=differences,
        difference_p={row: float(p) for row, p in zip(differences, corrected, strict=True)},
        standings=_standings(complete, generator),
    )


def summarise(scores: Scores) -> Summary:
    """One row's scores by themselves; NaN where nothing is defined."""
    seeds = tuple(scores.by_seed)
    kept = defined(scores.stacked(seeds))
    values = scores.case_values(seeds, kept)
    undefined = np.array(np.nan)
    by_seed = np.full(len(seeds), np.nan)
    estimate, freedom = Estimate(undefined, undefined, undefined, undefined), 0
    if scores.positive is not None and scores.positive[kept].any():
        positive = scores.positive[kept]
        estimate, freedom = statistics.auc_estimate(values.mean(0), positive), len(positive) - 2
        by_seed = values[:, positive].mean(1)
    elif scores.positive is None and kept.any():
        estimate, freedom = statistics.mean_estimate(values.mean(0)), values.shape[1] - 1
        # No DSC lies outside, so no mean does.
        estimate = estimate._replace(low=np.clip(estimate.low, 0, 1), high=np.clip(estimate.high, 0, 1))
        by_seed = values.mean(1)
    low, high = statistics.new_seeds_interval(by_seed, float(estimate.error), freedom)
    spread = float(by_seed.std(ddof=1)) if len(seeds) > 1 else np.nan
    return Summary(estimate, int(kept.sum()), seeds, spread, (float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))))


def _standings(scores: dict[Row, Scores], generator: np.random.Generator) -> dict[Row, Standing]:
    if not scores:
        return {}
    rows, (any_row, *_) = list(scores), scores.values()
    every = np.ones(len(next(iter(any_row.by_seed.values()))), dtype=bool)
    values = np.stack([found.case_values(list(found.by_seed), every).mean(0) for found in scores.values()])
    first, second = np.triu_indices(len(rows), 1)
    differences = values[first] - values[second]
    if any_row.positive is None:
        means, p = values.mean(1), statistics.sign_flip_p(differences, generator)
    else:
        means, p = values[:, any_row.positive].mean(1), statistics.auc_difference(differences, any_row.positive)[1]
    corrected: Array = np.full((len(rows), len(rows)), np.nan)
    corrected[first, second] = corrected[second, first] = statistics.holm(p)
    best_p = corrected[int(means.argmax())]
    intervals = statistics.rank_intervals(means, corrected)
    return {row: Standing(*interval, float(p)) for row, interval, p in zip(rows, intervals, best_p, strict=True)}
