"""The rows of one column compared: who is better, by how much, and what this test set could have shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_bench.errors import UserError
from ssl_bench.report import statistics
from ssl_bench.report.statistics import Array, Interval
from ssl_bench.report.table import Column, Row, Table

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """The scores of every test case of some rows, NaN where undefined or not there."""

    seeds: tuple[int, ...]
    values: Array
    """(rows, seeds, cases): DSC, or probability where the metric is the AUC."""
    present: Mask
    """(rows, seeds): which cells there are."""
    positive: Mask | None
    """(cases,): which are of the positive class, where the metric is the AUC; None where it is the DSC."""

    @property
    def cases(self) -> int:
        """How many."""
        return int(self.values.shape[2])

    def case_values(self, rows: Sequence[int], seeds: Mask, kept: Mask) -> Array:
        """(rows, seeds, kept cases): the DSC of a case, or what the case contributes to the AUC."""
        if self.positive is not None and kept.all():
            return self._components[rows][:, seeds]
        values = self.values[rows][:, seeds][:, :, kept]
        return values if self.positive is None else statistics.auc_components(values, self.positive[kept])

    @cached_property
    def _components(self) -> Array:
        """What each case contributes to each AUC where every case is kept: each comparison needs that again."""
        assert self.positive is not None
        return statistics.auc_components(self.values, self.positive)


def read_scores(
    cases: pd.DataFrame, cells: NDArray[np.intp], rows: NDArray[np.intp], seeds: NDArray[np.intp], metric: str
) -> Scores | None:
    """The scores of `cells`, each of which is of one of `rows` and `seeds`, from a store's frame of `cases`.

    None where no cell holds any.
    """
    lines, counts = lines_of(cases, cells)
    if not len(lines):
        return None
    codes, names = lines["case"].array.codes, lines["case"].array.categories.to_numpy(dtype=object)
    used, places = np.unique(codes, return_inverse=True)
    order = np.argsort(np.argsort(names[used]))[places]
    all_seeds, seed_places = np.unique(seeds, return_inverse=True)
    shape = int(rows.max()) + 1, len(all_seeds)
    values, present = np.full((*shape, len(used)), np.nan), np.zeros(shape, dtype=bool)
    present[rows, seed_places] = True
    measured = lines["probability" if metric == "AUC" else "dsc"].to_numpy()
    values[np.repeat(rows, counts), np.repeat(seed_places, counts), order] = measured
    positive = None
    if metric == "AUC":
        positive = np.zeros(len(used), dtype=bool)
        positive[order[lines["label"].to_numpy() == 1]] = True
    return Scores(tuple(map(int, all_seeds)), values, present, positive)


def column_scores(table: Table, column: Column) -> Scores | None:
    """The scores of every row of `table` in `column`, in their order; None where no cell holds those of its cases."""
    lines = table.lines(column)
    cells, rows, seeds = lines.index.to_numpy(), lines["_row"].to_numpy(), lines["seed"].to_numpy()
    return read_scores(table.frames.cases, cells, rows, seeds, lines["metric"].iloc[0])


def lines_of(frame: pd.DataFrame, cells: NDArray[np.intp]) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """The lines of a frame of parts about `cells`, one cell after the other, and how many each has."""
    owners = frame["cell"].to_numpy()
    # Of another type, they would be compared with a copy of all owners.
    wanted = cells.astype(owners.dtype)
    starts, ends = (np.searchsorted(owners, wanted, side) for side in ("left", "right"))
    counts = ends - starts
    places = np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
    return frame.iloc[places], counts


@dataclass(frozen=True)
class Difference:
    """One row minus another, over the seeds and cases that both have."""

    estimate: Interval
    p: float
    """Uncorrected."""
    cases: int
    freedom: int
    """Degrees of freedom of the standard error."""
    least_p: float
    """What the test could reach at best with so many cases."""

    @property
    def standardised(self) -> float:
        """In standard deviations of the paired differences (Cohen's d_z); for AUC its analogue."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self.estimate.value / (self.estimate.error * np.sqrt(self.cases)))

    def detectable(self, family: int) -> float:
        """The true difference found in 80 % of draws at 5 % corrected for `family` tests; infinite where none is."""
        if self.least_p * family >= 0.05:
            return np.inf
        return statistics.detectable_difference(float(self.estimate.error), 0.05 / family, self.freedom)


@dataclass(frozen=True)
class Summary:
    """One row by itself."""

    estimate: Interval
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
    """p of the difference to the best row, over all pairs, since the same scores chose the best; NaN for that row."""


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
    """Where the rows stand that have every case of the column and every cell of the table; no other is ranked."""

    @property
    def pairs(self) -> int:
        """The family over which standings are corrected."""
        return len(self.standings) * (len(self.standings) - 1) // 2


def baseline_label(tables: Iterable[Table], option: str | None) -> str:
    """The label of the row that others are compared with: `option`, or scratch. Raises UserError if no table has it."""
    labels = {row.label for table in tables for row in table.rows}
    if option is not None and option not in labels:
        raise UserError(f"--baseline {option}: no such row; there is {', '.join(sorted(labels)) or 'none yet'}")
    return option or "scratch"


def compare_rows(table: Table, column: Column, baseline: str) -> ColumnStatistics | None:
    """The statistics of `column`; None where no record holds the scores of its cases.

    `baseline` is a row's label; where the column has no such row, nothing is compared with it.
    """
    scores = column_scores(table, column)
    if scores is None:
        return None
    rows = table.rows
    summaries = summarise(scores)
    base = next((place for place in summaries if rows[place].label == baseline), None)
    generator = np.random.default_rng(0)
    differences = {} if base is None else subtract(scores, base, generator)
    corrected = statistics.holm(np.array([difference.p for difference in differences.values()]))
    complete = [
        place
        for place, summary in summaries.items()
        if rows[place] in table.complete_rows and summary.cases == scores.cases and not np.isnan(summary.estimate.value)
    ]
    return ColumnStatistics(
        cases=scores.cases,
        seeds=scores.seeds,
        baseline=None if base is None else rows[base],
        summaries={rows[place]: summary for place, summary in summaries.items()},
        differences={rows[place]: difference for place, difference in differences.items()},
        difference_p={rows[place]: float(p) for place, p in zip(differences, corrected, strict=True)},
        standings={rows[place]: standing for place, standing in _standings(scores, complete, generator).items()},
    )


def summarise(scores: Scores) -> dict[int, Summary]:
    """The scores of each row by themselves, by its place; NaN where nothing is defined."""
    defined = np.isfinite(scores.values)
    masks = {
        row: (present, defined[row][present].all(0)) for row, present in enumerate(scores.present) if present.any()
    }
    found: dict[int, Summary] = {}
    for rows, seeds, kept in _alike(masks):
        values = scores.case_values(rows, seeds, kept)
        ran = tuple(seed for seed, has in zip(scores.seeds, seeds, strict=True) if has)
        undefined, freedom, by_seed = np.full(len(rows), np.nan), 0, np.full((len(rows), len(ran)), np.nan)
        estimate = Interval(undefined, undefined, undefined, undefined)
        if scores.positive is not None and scores.positive[kept].any():
            positive = scores.positive[kept]
            estimate, freedom = statistics.auc_estimate(values.mean(1), positive), len(positive) - 2
            by_seed = values[:, :, positive].mean(2)
        elif scores.positive is None and kept.any():
            estimate, freedom = statistics.mean_estimate(values.mean(1)), values.shape[2] - 1
            # No DSC lies outside, so no mean does.
            estimate = estimate._replace(low=np.clip(estimate.low, 0, 1), high=np.clip(estimate.high, 0, 1))
            by_seed = values.mean(2)
        spread = by_seed.std(1, ddof=1) if len(ran) > 1 else undefined
        for row, own, error, among in zip(rows, zip(*estimate, strict=True), by_seed, spread, strict=True):
            interval = Interval(*own)
            low, high = statistics.new_seeds_interval(error, float(interval.error), freedom)
            bounds = float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))
            found[row] = Summary(interval, int(kept.sum()), ran, float(among), bounds)
    return dict(sorted(found.items()))


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
        values = scores.case_values(rows, seeds, kept).mean(1) - scores.case_values([base], seeds, kept).mean(1)
        cases = values.shape[1]
        if scores.positive is None:
            estimate, p = statistics.mean_estimate(values), _each_p(values, generator)
            freedom, least = cases - 1, statistics.smallest_p(cases)
        else:
            estimate, p = statistics.auc_difference(values, scores.positive[kept])
            freedom, least = cases - 2, 0.0
        for row, own_p, *own in zip(rows, p, *estimate, strict=True):
            found[row] = Difference(Interval(*own), float(own_p), cases, freedom, least)
    return dict(sorted(found.items()))


def _each_p(differences: Array, generator: np.random.Generator) -> Array:
    """The p of each row's own test; signs that are drawn are drawn anew for each row."""
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


def _standings(scores: Scores, rows: list[int], generator: np.random.Generator) -> dict[int, Standing]:
    if not rows:
        return {}
    every = np.ones(scores.cases, dtype=bool)
    values = scores.case_values(rows, scores.present[rows[0]], every).mean(1)
    first, second = np.triu_indices(len(rows), 1)
    differences = values[first] - values[second]
    if scores.positive is None:
        means, p = values.mean(1), statistics.sign_flip_p(differences, generator)
    else:
        means, p = values[:, scores.positive].mean(1), statistics.auc_difference(differences, scores.positive)[1]
    corrected: Array = np.full((len(rows), len(rows)), np.nan)
    corrected[first, second] = corrected[second, first] = statistics.holm(p)
    best_p = corrected[int(means.argmax())]
    intervals = statistics.rank_intervals(means, corrected)
    return {row: Standing(*interval, float(p)) for row, interval, p in zip(rows, intervals, best_p, strict=True)}
