"""Scores along pre-training: what its snapshots are worth downstream."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.ticker import NullLocator, ScalarFormatter

from ssl_bench.report.pictures.measures import axis_of, panel_title
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import GREY, add_legend, finish, new_panels, origin_of, plain, row_styles
from ssl_bench.report.table import Column, Row, Table
from ssl_bench.report.trajectories import Trajectory, with_snapshots


def trajectory_pictures(table: Table, baseline: Row | None) -> list[Picture]:
    """One picture: the score of every row at its snapshots against the step, one panel a column."""
    found = with_snapshots(table)
    return [_trajectories(table, found, baseline)] if found else []


def _trajectories(table: Table, found: Mapping[Column, Mapping[Row, Trajectory]], baseline: Row | None) -> Picture:
    styles, shown = row_styles(table), {row for rows in found.values() for row in rows}
    title = "Scores along pre-training"
    figure, panels = new_panels(title, origin_of(table), len(found), 2, 2.3, entries=len(shown))
    drawn = False
    for axes, (column, rows) in zip(panels, found.items(), strict=True):
        metric = table.metric(column)
        for row, trajectory in rows.items():
            style, values = styles[row], [metric.factor * score for score in trajectory.scores]
            axes.plot(
                trajectory.steps, values, style.marker, color=style.colour, linestyle=style.dash, markersize=4, lw=1.2
            )
        if baseline is not None and baseline not in rows and (place := table.place(baseline, column)) is not None:
            axes.axhline(metric.factor * place.mean, color=GREY, linestyle=":", linewidth=1)
            drawn = True
        axes.set_xscale("log")
        axes.set_xticks(_ticks(rows))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(f"{panel_title(table, column)}\n{plain(column[1])}")
        axes.set_xlabel("Pre-training steps (log scale)")
        axes.set_ylabel(axis_of(table, column))
    add_legend(figure, styles, shown, lines=True)
    line = f" Dotted: {plain(baseline.label, 26)}, which pre-trains nothing." if drawn and baseline else ""
    caption = (
        "Each point is a downstream training on the backbone as it was after so many steps, mean over test cases and "
        "seeds; the last is the end of the pre-training. Its schedule was made for the end: a snapshot is no shorter "
        f"pre-training.{line}"
    )
    description = f"Line plots of score against pre-training steps for {len(shown)} methods, one panel a task."
    return finish(figure, ("along-pretraining",), title, caption, description, "svg")


def _ticks(rows: Mapping[Row, Trajectory]) -> list[int]:
    """The steps that the rows have, every other one where they are many."""
    steps = sorted({step for trajectory in rows.values() for step in trajectory.steps})
    return steps[::-1][:: max(1, -(-len(steps) // 5))][::-1]
