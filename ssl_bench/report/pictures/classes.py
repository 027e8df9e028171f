"""The DSC of every structure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ssl_bench.report.pictures.measures import column_name, columns_by_protocol, in_words
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import finish, new_figure, origin_of, plain
from ssl_bench.report.table import Column, Table
from ssl_bench.spec.record import EvaluationRecord

DARK = 47
"""Of a DSC in per cent: below, white is read better on its colour than black."""


def class_pictures(table: Table) -> list[Picture]:
    """One heat map a protocol and segmentation task of several classes: structures by methods."""
    pictures = []
    for columns in columns_by_protocol(table).values():
        for column in columns:
            classes = class_names(table.records(column))
            if len(classes) > 1:
                pictures.append(_heat_map(table, column, classes))
    return pictures


def class_names(records: Iterable[EvaluationRecord]) -> list[str]:
    """The names of the foreground classes, in the task's order; none for a classification."""
    rows = [case.get("dsc_per_class") for record in records for case in record.cases]
    return list(dict.fromkeys(name for row in rows if isinstance(row, Mapping) for name in row))


def _heat_map(table: Table, column: Column, classes: list[str]) -> Picture:
    import seaborn

    rows = [row for row in table.rows if class_names(table.cells[row].get(column, {}).values())]
    values = np.stack([_means(table.cells[row][column].values(), classes) for row in rows], axis=1)
    title = f"DSC of every structure: {in_words(table, column)}"
    figure = new_figure(title, origin_of(table), 0.19 * len(classes) + 1.2)
    axes = figure.subplots()
    seaborn.heatmap(
        values,
        ax=axes,
        vmin=0,
        vmax=100,
        cmap="cividis",
        annot=True,
        fmt=".0f",
        annot_kws={"fontsize": 7},
        linewidths=0.4,
        xticklabels=[plain(row.label, 22) for row in rows],
        yticklabels=[plain(name, 30) for name in classes],
        cbar_kws={"label": "Mean DSC (%)", "pad": 0.01},
    )
    # The map grows lighter with the score, and seaborn writes in white where it is khaki already.
    for text in axes.texts:
        text.set_color("white" if float(text.get_text()) < DARK else "black")
    axes.tick_params(length=0)
    axes.set_xticklabels(axes.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    caption = (
        "Mean over the test cases and seeds in which the structure's DSC is defined; empty where it never is. "
        "Small structures lose more DSC to the same error in millimetres."
    )
    description = (
        f"Heat map of the mean DSC of {len(classes)} structures by {len(rows)} methods.{_extremes(values, classes)}"
    )
    return finish(figure, ("classes", *column_name(table, column)), title, caption, description, "svg")


def _extremes(values: NDArray[np.float64], classes: list[str]) -> str:
    """A sentence on the structures that are segmented worst and best on average; nothing where no DSC is defined."""
    means = {
        name: row[np.isfinite(row)].mean() for name, row in zip(classes, values, strict=True) if np.isfinite(row).any()
    }
    if not means:
        return ""
    worst, best = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    return f" Over all methods {plain(worst)} is segmented worst and {plain(best)} best."


def _means(records: Iterable[EvaluationRecord], classes: list[str]) -> NDArray[np.float64]:
    """(classes,) in per cent, NaN where undefined."""
    rows = [case.get("dsc_per_class") for record in records for case in record.cases]
    values = np.array([[row.get(name) for name in classes] for row in rows if isinstance(row, Mapping)], dtype=float)
    counts = np.isfinite(values).sum(0)
    return np.where(counts, 100 * np.nansum(values, 0) / np.maximum(counts, 1), np.nan)
