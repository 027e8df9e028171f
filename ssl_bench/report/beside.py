"""What is shown beside the metric of a column and ranks nothing: accuracy, balanced accuracy, Pearson's r, R²."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssl_bench.api.kinds import KINDS
from ssl_bench.api.metric import METRICS, Metric
from ssl_bench.report.cell_text import interval_text
from ssl_bench.report.comparison import Summary, summarise
from ssl_bench.report.record_lines import BESIDE
from ssl_bench.report.scores import Scores, column_scores
from ssl_bench.report.table import Column, Table


def beside_table(table: Table, column: Column) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of `column` as plain text; both empty where nothing is shown beside its metric.

    All have their 95 % intervals over cases and seeds; one that has none, of a handful of cases, is the mean over seeds
    and folds of what stands in the records.
    """
    metric = table.metric(column).name
    names = next((kind.beside for kind in KINDS.values() if kind.metric == metric), ())
    # Of measurements, which have several metrics for one kind of task, what any record of the column shows.
    names = names or tuple(name for name, field in BESIDE.items() if table.lines(column)[field].notna().any())
    scores = column_scores(table, column) if names else None
    if scores is None:
        return [], []
    readable = {name: _scores_of(scores, name) for name in names}
    summaries = {name: summarise(found) if found else {} for name, found in readable.items()}
    header = ["Method", *(f"{METRICS[name].heading} [95 %]" for name in names)]
    rows = []
    for row, cells in table.by_row(column):
        place = table.rows.index(row)
        recorded = {name: cells[BESIDE[name]].to_numpy() for name in names}
        rows.append([row.label, *(_text(summaries[name].get(place), recorded[name], METRICS[name]) for name in names)])
    return header, rows


def _scores_of(scores: Scores, name: str) -> Scores | None:
    """`scores` of predicted numbers or of several classes as those of what is shown beside their metric.

    None for measurements, of whose cases `scores` has the metric alone.
    """
    if scores.predictions is not None:
        return replace(scores, values=scores.predictions, metric=METRICS[name])
    if scores.by_class is None:
        return None
    # Of several classes: whether the most probable one is the case's.
    hits = np.where(np.isfinite(scores.values), scores.by_class.argmax(-1) == scores.truth, np.nan)
    truth = scores.truth if name == "balanced accuracy" else None
    return replace(scores, values=hits, metric=METRICS[name], truth=truth, by_class=None)


def _text(summary: Summary | None, recorded: np.ndarray, metric: Metric) -> str:
    if (summary is None or np.isnan(summary.estimate.value)) and not np.isnan(recorded).any():
        return f"{metric.text(float(recorded.mean()))} [n/a]"
    return "–" if summary is None else interval_text(summary.estimate, metric)
