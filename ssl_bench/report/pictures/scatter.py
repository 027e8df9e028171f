"""Scores against what is known of a cell besides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ssl_bench.report.pictures.measures import measured
from ssl_bench.report.pictures.style import GREY, Style, plain
from ssl_bench.report.table import Column, Row, Table


def draw_points(
    axes: Axes,
    table: Table,
    column: Column,
    values: Mapping[Row, float],
    styles: Mapping[Row, Style],
    baseline: Row | None,
) -> None:
    """The score of every row of `values` against its value; the score of `baseline` as a line."""
    scores = measured(table, column)
    axes.locator_params(axis="x", nbins=4)
    for row, value in values.items():
        axes.plot(value, scores[row].value, styles[row].marker, color=styles[row].colour, markersize=5.5)
    if baseline in scores:
        axes.axhline(scores[baseline].value, color=GREY, linestyle="--", linewidth=0.9, zorder=0)


def dashed_line(table: Table, columns: Iterable[Column], baseline: Row | None) -> str:
    """What a caption says of the line of `baseline`; nothing where no column has one."""
    drawn = baseline is not None and any(table.place(baseline, column) for column in columns)
    return f" Dashed: the score of {plain(baseline.label)}." if baseline is not None and drawn else ""


def mean_over_seeds(table: Table, column: Column, values: pd.Series) -> dict[Row, float]:
    """The mean of `values`, by the lines of cells, for every row with a score for which each seed has a finite one."""
    found = {}
    for row, cells in table.by_row(column):
        here = values[cells.index[cells["score"].notna()]]
        if len(here) and np.isfinite(here).all():
            found[row] = float(here.mean())
    return found
