"""The DSC of every structure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_bench.report.pictures.measures import column_name, columns_by_protocol, in_words
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import finish, new_figure, origin_of, plain
from ssl_bench.report.scores import lines_of
from ssl_bench.report.table import Column, Table

DARK = 47
"""DSC in per cent below which white text is easier to read on the cell's colour than black."""


def class_pictures(table: Table) -> list[Picture]:
    """One heat map a protocol and segmentation task of several classes: structures by methods."""
    pictures = []
    for columns in columns_by_protocol(table).values():
        for column in columns:
            scores = class_scores(table, column)
            if scores["structure"].nunique() > 1:
                pictures.append(_heat_map(table, column, scores))
    return pictures


def class_scores(table: Table, column: Column) -> pd.DataFrame:
    """Every structure of every test case of `column` with its DSC, structures in the task's order, and ``_row``."""
    lines = table.lines(column)
    found, counts = lines_of(table.frames.classes, lines.index.to_numpy())
    return found.assign(_row=np.repeat(lines["_row"].to_numpy(), counts))


def _heat_map(table: Table, column: Column, scores: pd.DataFrame) -> Picture:
    import seaborn

    classes, shown = list(dict.fromkeys(scores["structure"])), sorted(set(scores["_row"]))
    rows = [table.rows[place] for place in shown]
    means = scores.pivot_table("dsc", "structure", "_row", "mean", dropna=False, observed=True)
    values = 100 * means.reindex(index=classes, columns=shown).to_numpy()
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
        xticklabels=False,
        yticklabels=False,
        cbar_kws={"label": "Mean DSC (%)", "pad": 0.01},
    )
    # The map grows lighter with the score, and seaborn writes in white where it is khaki already.
    for text in axes.texts:
        text.set_color("white" if float(text.get_text()) < DARK else "black")
    axes.tick_params(length=0)
    labels = [plain(row.label, 22) for row in rows]
    axes.set_xticks(np.arange(len(rows)) + 0.5, labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(classes)) + 0.5, [plain(name, 30) for name in classes])
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
