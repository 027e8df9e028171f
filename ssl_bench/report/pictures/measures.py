"""The numbers that pictures show, out of a table's records."""

from __future__ import annotations

import math
import re
import textwrap
from typing import NamedTuple

import numpy as np
import pandas as pd

from ssl_bench.report.comparison import summarise
from ssl_bench.report.pictures.style import plain
from ssl_bench.report.scores import column_scores, lines_of
from ssl_bench.report.table import Column, Row, Table, column_parts


class Measured(NamedTuple):
    """A score, as printed, with its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float


def measured(table: Table, column: Column) -> dict[Row, Measured]:
    """Every row of the column that has a score: the mean over its seeds."""
    scores = column_scores(table, column)
    summaries = {} if scores is None else summarise(scores)
    found, factor = {}, table.metric(column).factor
    for place, row in enumerate(table.rows):
        if (here := table.place(row, column)) is not None:
            value = low = high = math.nan
            if place in summaries:
                value, low, high = (float(part) for part in summaries[place].estimate[:3])
            found[row] = Measured(*(factor * part for part in (here.mean if math.isnan(value) else value, low, high)))
    return found


def pretraining_curves(table: Table) -> pd.DataFrame:
    """The points of `StoreFrames.pretraining_curves` behind `table`, with the label of the row as ``row``."""
    curves, rows = table.frames.pretraining_curves, table.pretrainings["row"]
    found = curves[curves["cell"].isin(rows.index)]
    return found.assign(row=found["cell"].map(rows))


def axis_of(table: Table, *columns: Column) -> str:
    """What an axis of scores of `columns` is called: the metric and its unit, or a word for several."""
    names = {table.metric(column).axis for column in columns}
    percent = all(table.metric(column).unit == "%" for column in columns)
    return names.pop() if len(names) == 1 else "Score (%)" if percent else "Score"


Fractions = dict[float, Column]
"""Columns that differ in the fraction of the training labels alone, by it, the smallest first."""


def columns_by_protocol(table: Table) -> dict[str, list[Column]]:
    """The columns of each protocol; of those that differ in the fraction of labels alone, the one with the most."""
    return {
        protocol: [fractions[max(fractions)] for fractions in cohorts]
        for protocol, cohorts in cohorts_by_protocol(table).items()
    }


def cohorts_by_protocol(table: Table) -> dict[str, list[Fractions]]:
    """The columns of each protocol, those together that differ in the fraction of the training labels alone."""
    found: dict[str, dict[tuple[str, str], Fractions]] = {}
    for column in table.columns:
        data = table.lines(column)["_data"].iloc[0]
        # The number of training cases follows from the fraction.
        rest = data.model_dump_json(exclude={"label_fraction": True, "counts": {"train"}})
        found.setdefault(column[1], {}).setdefault((column[0], rest), {})[data.label_fraction] = column
    return {
        protocol: [dict(sorted(fractions.items())) for fractions in cohorts.values()]
        for protocol, cohorts in found.items()
    }


def panel_title(table: Table, column: Column) -> str:
    """The task and its metric, and which cases and labels where those are not the usual; on lines that fit a panel."""
    task, metric, cases = column_parts(column, table)
    return in_lines(plain(f"{task} {metric}{cases}", 66), 24)


def in_lines(text: str, width: int) -> str:
    """`text` on lines of at most `width` letters: long words, as names of data sets are, break behind a mark first."""
    apart = re.sub(r"(?<=[_-])(?=\w)", " ", text)
    return re.sub(r"(?<=[_-]) ", "", textwrap.fill(apart, width))


def column_name(table: Table, column: Column) -> tuple[str, ...]:
    """What tells the column apart in a picture's name: task, protocol, and cases where those are not enough."""
    alone = sum(column[:2] == other[:2] for other in columns_by_protocol(table)[column[1]]) == 1
    return column[:2] if alone else (*column[:2], column[2][:6])


def in_words(table: Table, column: Column) -> str:
    """The column as a picture's text names it."""
    task, _, cases = column_parts(column, table)
    return plain(f"{task} under {column[1]}{cases}", 72)


class Curve(NamedTuple):
    """Validation scores, as printed, after so many updates."""

    steps: list[float]
    scores: list[float]
    sign: float = 1.0
    """-1 where lower is better."""

    @property
    def best(self) -> float:
        """The best score."""
        return max(self.scores, key=lambda score: self.sign * score)

    def first_at(self, score: float) -> float | None:
        """The first validated step whose score is as good as `score`; None if it is never reached."""
        pairs = zip(self.steps, self.scores, strict=True)
        return next((step for step, found in pairs if self.sign * found >= self.sign * score), None)


def validation_curves(table: Table, column: Column) -> dict[Row, Curve]:
    """Each row's mean over seeds at the steps that all of its cells validated; rows without any are left out."""
    cells = table.lines(column)
    lines, counts = lines_of(table.frames.curves, cells.index.to_numpy())
    lines = lines.assign(row=np.repeat(cells["_row"].to_numpy(), counts))
    lines = lines[(lines["curve"] == "validation score") & np.isfinite(lines["step"]) & np.isfinite(lines["value"])]
    lines = lines.drop_duplicates(["cell", "step"], keep="last")
    means = lines.groupby(["row", "step"])["value"].agg(["mean", "count"]).reset_index()
    seeds = cells["_row"].value_counts()
    common = means[means["count"].to_numpy() == means["row"].map(seeds).to_numpy()]
    metric = table.metric(column)
    return {
        table.rows[row]: Curve(list(found["step"]), list(metric.factor * found["mean"]), metric.sign)
        for row, found in common.groupby("row")
    }


def trains_everything(table: Table, column: Column) -> bool:
    """Whether the column's protocol left no part of the network frozen."""
    return bool(table.lines(column)["_trains_everything"].all())
