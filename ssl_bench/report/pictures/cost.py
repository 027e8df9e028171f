"""What a score cost."""

from __future__ import annotations

import pandas as pd

from ssl_bench.report.pictures.measures import axis_of, columns_by_protocol, panel_title
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.scatter import dashed_line, draw_points, mean_over_seeds
from ssl_bench.report.pictures.style import add_legend, finish, new_panels, origin_of, plain, row_styles
from ssl_bench.report.table import Column, Row, Table


def cost_pictures(table: Table, baseline: Row | None) -> list[Picture]:
    """One picture a protocol: scores against device-hours of pre-training and evaluation; a line at `baseline`'s score.

    A row whose pre-training has no record in the store is left out.
    """
    pictures, by_cell = [], device_hours(table)
    for protocol, columns in columns_by_protocol(table).items():
        found = {column: mean_over_seeds(table, column, by_cell) for column in columns}
        hours = {column: by_row for column, by_row in found.items() if by_row}
        if hours:
            pictures.append(_cost(table, protocol, hours, baseline))
    return pictures


def device_hours(table: Table) -> pd.Series:
    """The cost of each cell with its pre-training, by the cell's line; NaN where either is not known."""
    cells, pretrainings = table.cells, table.frames.pretrainings
    before = cells["pretraining"].map(dict(zip(pretrainings["key"], pretrainings["device_seconds"], strict=True)))
    before = before.astype(float).mask(cells["pretraining"] == "", 0.0)
    return (cells["device_seconds"] + before).mask(cells["paradigm"] == "external") / 3600


def _cost(table: Table, protocol: str, hours: dict[Column, dict[Row, float]], baseline: Row | None) -> Picture:
    styles = row_styles(table)
    title = f"Score against computing time under {plain(protocol)}"
    figure, panels = new_panels(title, origin_of(table), len(hours), 2, 2.1, entries=len(table.rows))
    for axes, (column, values) in zip(panels, hours.items(), strict=True):
        draw_points(axes, table, column, values, styles, baseline)
        axes.set_title(panel_title(table, column))
        axes.set_xlabel("Device-hours, pre-training + evaluation")
        axes.set_ylabel(axis_of(table, column))
        axes.set_xlim(left=0)
    add_legend(figure, styles, {row for values in hours.values() for row in values})
    caption = (
        "Test score against the hours that a device was busy with the pre-training and this one evaluation, mean over "
        f"seeds.{dashed_line(table, hours, baseline)} A pre-training serves every task, so that its hours are shared. "
        "Hours compare only between cells that ran on one kind of device."
    )
    description = f"Scatter plots of score against device-hours under {plain(protocol)}, one panel a task."
    return finish(figure, ("cost", protocol), title, caption, description, "svg")
