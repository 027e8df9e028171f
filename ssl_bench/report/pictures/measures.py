"""The numbers that pictures show, out of a table's records."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ssl_bench.report.case_scores import case_names, read_scores
from ssl_bench.report.comparison import summarise
from ssl_bench.report.pictures.style import plain
from ssl_bench.report.table import Column, Row, Table, column_parts
from ssl_bench.spec.record import EvaluationRecord


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
        data = next(table.records(column)).spec.data
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
    return textwrap.fill(plain(f"{task} {metric}{cases}", 66), 24)


def column_name(table: Table, column: Column) -> tuple[str, ...]:
    """What tells the column apart in a picture's name: task, protocol, and cases where those are not enough."""
    alone = sum(column[:2] == other[:2] for other in columns_by_protocol(table)[column[1]]) == 1
    return column[:2] if alone else (*column[:2], column[2][:6])


def in_words(table: Table, column: Column) -> str:
    """The column as a picture's text names it."""
    task, _, cases = column_parts(column, table)
    return plain(f"{task} under {column[1]}{cases}", 72)


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
