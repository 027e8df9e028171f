"""Scores with their intervals."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ssl_bench.report.pictures.measures import Measured, axis_of, columns_by_protocol, measured, panel_title
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.scatter import dashed_line
from ssl_bench.report.pictures.style import (
    GREY,
    Style,
    finish,
    new_figure,
    origin_of,
    paradigms_of,
    place_legend,
    plain,
    row_styles,
)
from ssl_bench.report.statistics import ENOUGH_SEEDS
from ssl_bench.report.table import Column, Row, Table

PANELS = 4

_PARADIGM_NAMES = {"none": "no pre-training", "external": "weights from a file"}


def score_pictures(table: Table, baseline: Row | None) -> list[Picture]:
    """One picture a protocol: every row's score in every task, with its 95 % interval; a line at that of `baseline`."""
    return [_scores(table, protocol, columns, baseline) for protocol, columns in columns_by_protocol(table).items()]


def _scores(table: Table, protocol: str, columns: list[Column], baseline: Row | None) -> Picture:
    styles = row_styles(table)
    rows = [row for row in table.rows if any((row, column) in table.places for column in columns)]
    across = min(PANELS, len(columns))
    down = -(-len(columns) // across)
    over = "test cases and seeds" if len(table.seeds) >= ENOUGH_SEEDS else "test cases"
    title = f"Scores under {plain(protocol)}, with 95 % intervals over {over}"
    figure = new_figure(title, origin_of(table), down * (0.2 * len(rows) + 0.8), entries=len(paradigms_of(rows)))
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes, column in zip(panels.flat, columns, strict=False):
        scores = measured(table, column)
        _draw_column(axes, rows, scores, styles, baseline)
        axes.set_title(panel_title(table, column))
        axes.set_xlabel(axis_of(table, column))
    for left_over in list(panels.flat)[len(columns) :]:
        left_over.remove()
    panels[0, 0].set_yticks(range(len(rows)), [_label(row, baseline) for row in rows])
    panels[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    handles = [
        Line2D([], [], color=next(styles[row].colour for row in rows if row.paradigm == name), marker="s", linestyle="")
        for name in paradigms_of(rows)
    ]
    place_legend(figure, handles, [_PARADIGM_NAMES.get(name, name) for name in paradigms_of(rows)])
    caption = (
        f"Mean over test cases and seeds (points) with 95 % intervals over {over} (bars)."
        f"{dashed_line(table, columns, baseline)} "
        "Overlapping intervals do not mean that two methods are alike: the table's paired tests say that."
    )
    description = (
        f"Dot plot of {len(rows)} methods by {len(columns)} tasks under {plain(protocol)}, grouped by paradigm."
    )
    return finish(figure, ("scores", protocol), title, caption, description, "svg")


def _draw_column(
    axes: Axes, rows: list[Row], scores: dict[Row, Measured], styles: dict[Row, Style], baseline: Row | None
) -> None:
    axes.grid(visible=False, axis="y")
    for place, row in enumerate(rows):
        if place and row.paradigm != rows[place - 1].paradigm:
            axes.axhline(place - 0.5, color="0.8", linewidth=0.8)
        if row not in scores:
            continue
        score, style = scores[row], styles[row]
        axes.plot([score.low, score.high], [place, place], color=style.colour, linewidth=1.8, solid_capstyle="butt")
        axes.plot(score.value, place, style.marker, color=style.colour, markersize=4.5)
        if row == baseline:
            axes.axvline(score.value, color=GREY, linestyle="--", linewidth=0.9, zorder=0)


def _label(row: Row, baseline: Row | None) -> str:
    return f"{plain(row.label, 26)} (baseline)" if row == baseline else plain(row.label, 26)
