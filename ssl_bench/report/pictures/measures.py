"""The numbers that pictures show, out of a table's records."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ssl_bench.cells.record import EvaluationRecord
from ssl_bench.report.case_scores import case_names, read_scores
from ssl_bench.report.comparison import summarise
from ssl_bench.report.pictures.style import plain
from ssl_bench.report.table import Column, Row, Table, column_parts, column_title


class Measured(NamedTuple):
    """A score in per cent with its 95 % interval over test cases; NaN where there is none."""

    value: float
    low: float
    high: float


def measured(table: Table, column: Column) -> dict[Row, Measured]:
    """Every row of the column that has a score: the mean over its seeds."""
    found = {row: table.cells[row][column] for row in table.rows if table.scores(row, column)}
    cases = case_names(record for by_seed in found.values() for record in by_seed.values())
    scores = {}
    for row, by_seed in found.items():
        value = low = high = math.nan
        if cases:
            estimate = summarise(read_scores(by_seed, cases)).estimate
            value, low, high = float(estimate.value), float(estimate.low), float(estimate.high)
        if math.isnan(value):
            value = float(np.mean(table.scores(row, column)))
        scores[row] = Measured(100 * value, 100 * low, 100 * high)
    return scores


def metric_of(table: Table, column: Column) -> str:
    """DSC or AUC."""
    return column_parts(column, table)[1]


def columns_by_protocol(table: Table) -> dict[str, list[Column]]:
    """The columns of each protocol; of one that was run with all labels and with fewer, those with all."""
    found: dict[str, list[Column]] = {}
    for column in table.columns:
        found.setdefault(column[1], []).append(column)
    full = {
        protocol: [column for column in columns if label_fraction(table, column) == 1]
        for protocol, columns in found.items()
    }
    return {protocol: full[protocol] or columns for protocol, columns in found.items()}


def label_fraction(table: Table, column: Column) -> float:
    """The fraction of the training labels that the column's cells used."""
    return next(table.records(column)).science.data.label_fraction


def panel_titles(table: Table, columns: Iterable[Column]) -> dict[Column, str]:
    """The task of each of `columns` and its metric; where that is not enough to tell them apart, all that is."""
    shown = list(columns)
    short = {column: " ".join(column_parts(column, table)[:2]) for column in shown}
    unique = len(set(short.values())) == len(shown)
    return {column: plain(short[column] if unique else column_title(column, table), 44) for column in shown}


def column_name(table: Table, column: Column) -> tuple[str, ...]:
    """What tells the column apart in a picture's name: task, protocol, and cases where those are not enough."""
    return column[:2] if _is_alone(table, column) else (*column[:2], column[2][:6])


def in_words(table: Table, column: Column) -> str:
    """The column as a picture's text names it."""
    task, _, _ = column_parts(column, table)
    words = f"{task} under {column[1]}" if _is_alone(table, column) else column_title(column, table)
    return plain(words, 60)


class Curve(NamedTuple):
    """Validation scores in per cent after so many updates."""

    steps: list[float]
    scores: list[float]

    @property
    def best(self) -> float:
        """The highest score."""
        return max(self.scores)

    def first_at(self, score: float) -> float | None:
        """The first validated step whose score is at least `score`; None if it is never reached."""
        return next((step for step, found in zip(self.steps, self.scores, strict=True) if found >= score), None)


def validation_curve(records: Iterable[EvaluationRecord]) -> Curve | None:
    """The mean over seeds at the steps that all of `records` validated; None without any."""
    curves = [
        {
            look["step"]: look["score"]
            for look in record.validation_curve
            if math.isfinite(look.get("step", math.nan)) and math.isfinite(look.get("score", math.nan))
        }
        for record in records
    ]
    common = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    if not common:
        return None
    return Curve(common, [100 * float(np.mean([curve[step] for curve in curves])) for step in common])


def trains_everything(table: Table, column: Column) -> bool:
    """Whether the column's protocol left no part of the network frozen."""
    return all(record.modules is not None and not record.modules.frozen for record in table.records(column))


def _is_alone(table: Table, column: Column) -> bool:
    return sum(column[:2] == other[:2] for other in columns_by_protocol(table)[column[1]]) == 1
