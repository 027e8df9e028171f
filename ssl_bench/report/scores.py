"""The scores of test cases, read from a store's frames into arrays of rows, seeds and cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_bench.api.metric import METRICS, Metric
from ssl_bench.report import units
from ssl_bench.report.class_statistics import Classes, balanced_contributions, macro_auc_contributions
from ssl_bench.report.pairs import sides_of
from ssl_bench.report.regression_statistics import OF_NUMBERS
from ssl_bench.report.statistics import Array
from ssl_bench.report.table import Column, Table
from ssl_bench.report.units import Mask, Units


@dataclass(frozen=True)
class Scores:
    """The scores of every test case of some rows, NaN where undefined or not there."""

    seeds: tuple[int, ...]
    values: Array
    """(rows, seeds, cases): DSC or absolute error; where the metric is an AUC, the probability of what the case is, or
    of the positive class; of Pearson's r and R² the predicted number."""
    present: Mask
    """(rows, seeds): which cells there are."""
    positive: Mask | None
    """(cases,): which are of the positive class, where the metric is the AUC; None where it is the DSC."""
    names: tuple[str, ...] = ()
    """What the cases are called, sorted."""
    metric: Metric = METRICS["DSC"]
    truth: Classes | None = None
    """(cases,): the class of each case, where there are several."""
    by_class: Array | None = None
    """(rows, seeds, cases, classes): the probabilities of all of them, where the metric is the macro AUC."""
    targets: Array | None = None
    """(cases,): the numbers that were to be predicted, where the metric is the MAE or shown beside it."""
    predictions: Array | None = None
    """(rows, seeds, cases): the numbers that were predicted, where the metric is the MAE."""
    grouped: Units | None = None
    """The subjects and folds of the cases; None where each stands alone."""

    @property
    def is_mean(self) -> bool:
        """Whether a score is the plain mean of what its cases have."""
        return self.positive is None and self.truth is None and self.metric.name not in OF_NUMBERS

    @property
    def cases(self) -> int:
        """How many."""
        return int(self.values.shape[2])

    @cached_property
    def units(self) -> Units:
        """The subjects and folds of the cases."""
        return self.grouped or Units.single(self.cases)

    def case_values(self, rows: Sequence[int], seeds: Mask, kept: Mask) -> Array:
        """(rows, seeds, kept cases): what a case has, or what it contributes to the score of its fold, if no mean."""
        if not self.is_mean and kept.all():
            return self._contributions[rows][:, seeds]
        values = self.values[rows][:, seeds][:, :, kept]
        by_class = None if self.by_class is None else self.by_class[rows][:, seeds][:, :, kept]
        return self._contributed(values, by_class, kept)

    @cached_property
    def _contributions(self) -> Array:
        """What each case contributes where every case is kept: each comparison needs that again."""
        return self._contributed(self.values, self.by_class, np.ones(self.cases, dtype=bool))

    def _contributed(self, values: Array, by_class: Array | None, kept: Mask) -> Array:
        grouped = self.units.of(kept)
        if self.positive is not None:
            return units.components(values, self.positive[kept], grouped)
        if of_numbers := OF_NUMBERS.get(self.metric.name):
            assert self.targets is not None
            targets, subjects = self.targets[kept], grouped.subjects
            return units.of_each_fold(
                lambda at: of_numbers.contributions(values[..., at], targets[at], subjects[at]), grouped
            )
        if self.truth is None:
            return values
        truth = self.truth[kept]
        if by_class is None:
            return units.of_each_fold(lambda at: balanced_contributions(values[..., at], truth[at]), grouped)
        return units.of_each_fold(lambda at: macro_auc_contributions(by_class[..., at, :], truth[at]), grouped)


def read_scores(
    cases: pd.DataFrame,
    cells: NDArray[np.intp],
    rows: NDArray[np.intp],
    seeds: NDArray[np.intp],
    metric: str,
    folds: NDArray[np.intp] | None = None,
) -> Scores | None:
    """The scores of `cells`, each of which is of one of `rows`, `seeds` and `folds`, from a store's frame of `cases`.

    None where no cell holds any.
    """
    lines, counts = lines_of(cases, cells)
    if not len(lines):
        return None
    found = _Cases.of(lines)
    all_seeds, seed_places = np.unique(seeds, return_inverse=True)
    shape = int(rows.max()) + 1, len(all_seeds)
    present = np.zeros(shape, dtype=bool)
    present[rows, seed_places] = True
    unscored = Scores(
        seeds=tuple(map(int, all_seeds)),
        values=np.full((*shape, len(found.names)), np.nan),
        present=present,
        positive=None,
        names=found.names,
        metric=METRICS[metric],
        grouped=_units(lines, found, None if folds is None else np.repeat(folds, counts)),
    )
    places = _Places(np.repeat(rows, counts), np.repeat(seed_places, counts), found.of_line)
    return _BY_METRIC.get(metric, _of_means)(unscored, lines, places)


@dataclass(frozen=True)
class _Cases:
    """The cases that some lines are about."""

    names: tuple[str, ...]
    """Sorted."""
    codes: NDArray[np.intp]
    """Of the categories in the frame, those that occur, ascending."""
    rank: NDArray[np.intp]
    """Where the name of each of `codes` stands in `names`."""
    of_line: NDArray[np.intp]
    """Of each line, where its case stands in `names`."""

    @classmethod
    def of(cls, lines: pd.DataFrame) -> _Cases:
        """Those in the column ``case``."""
        names = lines["case"].array.categories.to_numpy(dtype=object)
        codes, places = np.unique(lines["case"].array.codes, return_inverse=True)
        rank = np.argsort(np.argsort(names[codes]))
        return cls(tuple(sorted(map(str, names[codes]))), codes, rank, rank[places])


def _units(lines: pd.DataFrame, cases: _Cases, folds: NDArray[np.intp] | None) -> Units:
    """The subjects of the cases, of pairs both, and their folds; `folds` (lines,) is None where there is one."""
    fold_of = np.zeros(len(cases.names), dtype=np.intp)
    if folds is not None:
        fold_of[cases.of_line] = folds
    first = np.empty(len(cases.names), dtype=np.intp)
    first[cases.of_line[::-1]] = np.arange(len(lines))[::-1]
    if sides := sides_of(lines, first):
        return Units(sides[0], fold_of, sides[1])
    return Units(_subjects(lines, cases), fold_of)


def _subjects(lines: pd.DataFrame, cases: _Cases) -> NDArray[np.intp]:
    """(cases,): the subject of each, as any of its `lines` says it; else each case is another's."""
    own, subjects = lines["case"].array, lines["subject"].array
    # A subject is called as one of its cases.
    codes = own.categories.get_indexer(subjects.categories)[subjects.codes]
    known = (codes != own.codes) & np.isin(codes, cases.codes)
    found = np.arange(len(cases.names))
    found[cases.of_line[known]] = cases.rank[np.searchsorted(cases.codes, codes[known])]
    return found


class _Places(NamedTuple):
    """Where the value of each line belongs in `Scores.values`."""

    rows: NDArray[np.intp]
    seeds: NDArray[np.intp]
    cases: NDArray[np.intp]


def _of_means(unscored: Scores, lines: pd.DataFrame, places: _Places) -> Scores:
    """The score is a mean over what the cases have."""
    unscored.values[places] = lines[unscored.metric.of_case]
    return unscored


def _of_two_classes(unscored: Scores, lines: pd.DataFrame, places: _Places) -> Scores:
    """The AUC: the probability of the positive class, and which cases are of it."""
    unscored.values[places] = lines["probability"].to_numpy()
    positive = np.zeros(unscored.cases, dtype=bool)
    positive[places.cases[lines["label"].to_numpy() == 1]] = True
    return replace(unscored, positive=positive)


def _of_several_classes(unscored: Scores, lines: pd.DataFrame, places: _Places) -> Scores:
    """The macro AUC, of which a case has one line a class: all probabilities, and that of what the case is."""
    codes, classes = np.unique(lines["class"].array.codes, return_inverse=True)
    by_class = np.full((*unscored.values.shape, len(codes)), np.nan)
    by_class[(*places, classes)] = lines["probability"].to_numpy()
    truth, holds = np.zeros(unscored.cases, dtype=np.intp), lines["label"].to_numpy() == 1
    truth[places.cases[holds]] = classes[holds]
    values = by_class[:, :, np.arange(unscored.cases), truth]
    return replace(unscored, values=values, truth=truth, by_class=by_class)


def _of_numbers(unscored: Scores, lines: pd.DataFrame, places: _Places) -> Scores:
    """The MAE: what was predicted, what was to be, and how far apart they are."""
    targets, predictions = np.full(unscored.cases, np.nan), unscored.values
    targets[places.cases], predictions[places] = lines["label"].to_numpy(), lines["prediction"].to_numpy()
    return replace(unscored, values=np.abs(predictions - targets), targets=targets, predictions=predictions)


_BY_METRIC = {"AUC": _of_two_classes, "macro AUC": _of_several_classes, "MAE": _of_numbers}
"""How scores are read whose metric is no mean over cases."""


def column_scores(table: Table, column: Column) -> Scores | None:
    """The scores of every row of `table` in `column`, in their order; None where no cell holds those of its cases."""
    lines = table.lines(column)
    cells, rows, seeds = lines.index.to_numpy(), lines["_row"].to_numpy(), lines["seed"].to_numpy()
    return read_scores(table.frames.cases, cells, rows, seeds, lines["metric"].iloc[0], lines["fold"].to_numpy())


def lines_of(frame: pd.DataFrame, cells: NDArray[np.intp]) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """The lines of a frame of parts about `cells`, one cell after the other, and how many each has."""
    owners = frame["cell"].to_numpy()
    # Of another type, they would be compared with a copy of all owners.
    wanted = cells.astype(owners.dtype)
    starts, ends = (np.searchsorted(owners, wanted, side) for side in ("left", "right"))
    counts = ends - starts
    places = np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
    return frame.iloc[places], counts
