"""What is shown beside the metric of a column and ranks nothing: accuracy, balanced accuracy, Pearson's r, R²."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssl_bench.api.kinds import KINDS
from ssl_bench.api.metric import METRICS
from ssl_bench.report.cell_text import interval_text
from ssl_bench.report.comparison import Summary, summarise
from ssl_bench.report.results import BESIDE
from ssl_bench.report.scores import Scores, column_scores
from ssl_bench.report.table import Column, Table


def beside_table(table: Table, column: Column) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of `column` as plain text; both empty where nothing is shown beside its metric.

    Accuracies are over cases and seeds with their 95 % intervals; Pearson's r and R² are means over seeds and folds,
    as they stand in the records.
    """
    metric = table.metric(column).name
    names = next((kind.beside for kind in KINDS.values() if kind.metric == metric), ())
    # Of measurements, which have several metrics for one kind of task, what any record of the column shows.
    names = names or tuple(name for name, field in BESIDE.items() if table.lines(column)[field].notna().any())
    scores = column_scores(table, column) if names else None
    if scores is None:
        return [], []
    summaries = {name: summarise(_of_hits(scores, name)) for name in names} if scores.by_class is not None else {}
    header = ["Method", *(f"{METRICS[name].heading} [95 %]" if summaries else METRICS[name].heading for name in names)]
    rows = []
    for row, cells in table.by_row(column):
        place = table.rows.index(row)
        found = [_with_interval(summaries[name].get(place), name) for name in summaries]
        found += [_mean(cells[BESIDE[name]].to_numpy(), name) for name in names if name not in summaries]
        rows.append([row.label, *found])
    return header, rows


def _of_hits(scores: Scores, name: str) -> Scores:
    """`scores` of several classes as those of whether the most probable class is the case's."""
    assert scores.by_class is not None
    hits = np.where(np.isfinite(scores.values), scores.by_class.argmax(-1) == scores.truth, np.nan)
    truth = scores.truth if name == "balanced accuracy" else None
    return replace(scores, values=hits, metric=METRICS[name], truth=truth, by_class=None)


def _with_interval(summary: Summary | None, name: str) -> str:
    return "–" if summary is None else interval_text(summary.estimate, METRICS[name])


def _mean(values: np.ndarray, name: str) -> str:
    return "n/a" if np.isnan(values).any() else METRICS[name].text(float(values.mean()))
