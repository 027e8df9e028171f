"""The scores of test cases, read from a store's frames into arrays of rows, seeds and cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
    codes, names = lines["case"].array.codes, lines["case"].array.categories.to_numpy(dtype=object)
    used, places = np.unique(codes, return_inverse=True)
    order = np.argsort(np.argsort(names[used]))[places]
    all_seeds, seed_places = np.unique(seeds, return_inverse=True)
    shape = int(rows.max()) + 1, len(all_seeds)
    values, present = np.full((*shape, len(used)), np.nan), np.zeros(shape, dtype=bool)
    present[rows, seed_places] = True
    place = (np.repeat(rows, counts), np.repeat(seed_places, counts), order)
    label = lines["label"].to_numpy()
    known = (tuple(map(int, all_seeds)), values, present)
    case_names = tuple(sorted(map(str, names[used])))
    fold_of = np.zeros(len(used), dtype=np.intp)
    if folds is not None:
        fold_of[order] = np.repeat(folds, counts)
    first = np.empty(len(used), dtype=np.intp)
    first[order[::-1]] = np.arange(len(order))[::-1]
    sides = sides_of(lines, first)
    grouped = Units(sides[0], fold_of, sides[1]) if sides else Units(_subjects(lines, used, places, order), fold_of)
    if metric == "macro AUC":
        class_codes, of_class = np.unique(lines["class"].array.codes, return_inverse=True)
        by_class, truth = np.full((*values.shape, len(class_codes)), np.nan), np.zeros(len(used), dtype=np.intp)
        by_class[(*place, of_class)] = lines["probability"].to_numpy()
        truth[order[label == 1]] = of_class[label == 1]
        values[...] = by_class[:, :, np.arange(len(used)), truth]
        return Scores(*known, None, case_names, METRICS[metric], truth, by_class, grouped=grouped)
    if metric == "AUC":
        values[place] = lines["probability"].to_numpy()
        positive = np.zeros(len(used), dtype=bool)
        positive[order[label == 1]] = True
        return Scores(*known, positive, case_names, METRICS[metric], grouped=grouped)
    if metric == "MAE":
        targets, predictions = np.full(len(used), np.nan), values.copy()
        targets[order], predictions[place] = label, lines["prediction"].to_numpy()
        values[...] = np.abs(predictions - targets)
        return Scores(
            *known, None, case_names, METRICS[metric], targets=targets, predictions=predictions, grouped=grouped
        )
    values[place] = lines[METRICS[metric].of_case]
    return Scores(*known, None, case_names, METRICS[metric], grouped=grouped)


def _subjects(
    lines: pd.DataFrame, used: NDArray[np.intp], places: NDArray[np.intp], order: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The subject of each case, as any of its `lines` says it; else each case is another's.

    `used` are the cases by their codes, `places` and `order` say for each line which of them its case is.
    """
    at = np.empty(len(used), dtype=np.intp)
    at[places] = order
    cases, subjects = lines["case"].array, lines["subject"].array
    # A subject is called as one of its cases.
    codes = cases.categories.get_indexer(subjects.categories)[subjects.codes]
    known = (codes != cases.codes) & np.isin(codes, used)
    found = np.arange(len(used))
    found[order[known]] = at[np.searchsorted(used, codes[known])]
    return found


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
