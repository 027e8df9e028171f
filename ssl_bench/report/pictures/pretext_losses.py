"""Whether a pretext was learned: its loss on the corpus and on volumes outside of it, along pre-training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ssl_bench.report.pictures.measures import pretraining_curves
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import GREY, finish, new_panels, origin_of, place_legend, plain, row_styles
from ssl_bench.report.table import Table

TRAINING, HELD_OUT = "training loss", "held-out loss"
PANELS_A_LINE = 4
POINTS = 40
"""A curve of more steps is averaged over so many equal stretches."""


def pretext_loss_pictures(table: Table) -> list[Picture]:
    """One panel a pre-trained row: its losses against the steps made, mean over seeds."""
    losses = losses_by_row(table)
    if losses.empty:
        return []
    rows = list(dict.fromkeys(losses["row"]))
    styles = {row.label: style for row, style in row_styles(table).items()}
    title = "Pretext losses along pre-training"
    figure, panels = new_panels(title, origin_of(table), len(rows), PANELS_A_LINE, 1.7, entries=2)
    for axes, row in zip(panels, rows, strict=True):
        lines = losses[losses["row"] == row]
        training, held_out = (lines[lines["curve"] == curve] for curve in (TRAINING, HELD_OUT))
        colour = styles[row].colour if row in styles else GREY
        axes.plot(*_averaged(training), color=GREY, linewidth=0.9)
        axes.plot(held_out["step"], held_out["value"], color=colour, marker="o", markersize=3, linewidth=1.4)
        axes.set_title(plain(row, 26), fontsize=8)
        axes.locator_params(axis="x", integer=True, nbins=4)
        axes.set_xlabel("Steps", fontsize=8)
    figure.supylabel("Pretext loss", fontsize=9)
    drawn = [Line2D([], [], color=GREY, linewidth=0.9), Line2D([], [], color="black", marker="o", markersize=3)]
    place_legend(figure, drawn, ["on the corpus", "outside the corpus"])
    caption = (
        "Each method's own loss, mean over seeds, so that only its course compares and not its height. The corpus' is "
        "averaged over stretches of steps; outside the corpus volumes and draws are the same at every look. Where a "
        "loss does not fall, the pretext was not learned; where it falls, nothing is said about what it is good for."
    )
    description = f"Small multiples of {len(rows)} methods: pretext loss against pre-training steps."
    return [finish(figure, ("pretext", "losses"), title, caption, description, "svg")]


def losses_by_row(table: Table) -> pd.DataFrame:
    """Columns ``row`` (its label), ``curve``, ``step`` and ``value``: the mean over the pre-trainings of a row."""
    curves = pretraining_curves(table)
    lines = curves[curves["curve"].isin([TRAINING, HELD_OUT]) & np.isfinite(curves["value"].astype(float))]
    return lines.groupby(["row", "curve", "step"], sort=False, observed=True)["value"].mean().reset_index()


def _averaged(line: pd.DataFrame) -> NDArray[np.float64]:
    """(2, points): steps and values, averaged over at most `POINTS` stretches."""
    points = line[["step", "value"]].to_numpy(float)
    stretches = np.array_split(points, max(1, min(POINTS, len(points))))
    return np.reshape([stretch.mean(axis=0) for stretch in stretches if len(stretch)], (-1, 2)).T
