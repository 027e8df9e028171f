"""Whether a representation has collapsed: what it scores, and how the stages of its backbone went in pre-training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from ssl_bench.report.pictures.measures import columns_by_protocol, panel_title, pretraining_curves
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.scatter import dashed_line, draw_points, mean_over_seeds
from ssl_bench.report.pictures.style import (
    GREY,
    add_legend,
    finish,
    new_figure,
    new_panels,
    origin_of,
    place_legend,
    plain,
    row_styles,
)
from ssl_bench.report.table import Row, Table
from ssl_bench.spec.collapse import COLLAPSED_SHARE

RANK = "rank of "
"""What begins the name of a curve of ranks."""
PANELS_A_LINE = 4


def health_pictures(table: Table, baseline: Row | None) -> list[Picture]:
    """Health against scores, and the ranks of the backbone's stages along pre-training, where records hold them."""
    return [*_against_scores(table, baseline), *_stage_ranks(table)]


def _against_scores(table: Table, baseline: Row | None) -> list[Picture]:
    """One picture, of the first protocol: scores against the spread and the rank of the representation.

    The score of `baseline` is a line.
    """
    protocol, columns = next(iter(columns_by_protocol(table).items()))
    spread = {column: mean_over_seeds(table, column, 1000 * table.cells["feature_std"]) for column in columns}
    rank = {column: mean_over_seeds(table, column, table.cells["effective_rank"]) for column in columns}
    if not any((*spread.values(), *rank.values())):
        return []
    styles = row_styles(table)
    title = f"Representation health against scores under {plain(protocol)}"
    figure = new_figure(title, origin_of(table), 3.6, max(1.75 * len(columns), 5), entries=len(table.rows))
    panels = figure.subplots(2, len(columns), squeeze=False, sharey="col")
    shown: set[Row] = set()
    for line, label, by_column in zip(panels, ("Feature std (10⁻³)", "Effective rank"), (spread, rank), strict=True):
        line[0].set_ylabel("Score (%)" if all(table.metric(column).unit == "%" for column in columns) else "Score")
        for axes, (column, values) in zip(line, by_column.items(), strict=True):
            draw_points(axes, table, column, values, styles, baseline)
            axes.set_xlabel(label)
            shown |= values.keys()
    for axes, column in zip(panels[0], columns, strict=True):
        axes.set_title(panel_title(table, column))
    add_legend(figure, styles, shown)
    caption = (
        "Of pooled features of the training cases before any downstream training, mean over seeds: mean standard "
        "deviation of L2-normalised features (0: collapsed) and effective rank (1: one direction). Healthy features "
        f"need not score well; collapsed ones cannot.{dashed_line(table, columns, baseline)}"
    )
    description = f"Scatter plots of score against feature spread and effective rank under {plain(protocol)}."
    return [finish(figure, ("health", protocol), title, caption, description, "svg")]


def _stage_ranks(table: Table) -> list[Picture]:
    """One panel a pre-trained row, one line a stage: its rank in shares of the random start's, mean over seeds."""
    shares = _shares_by_row(table)
    if shares.empty:
        return []
    rows, stages = list(dict.fromkeys(shares["row"])), list(dict.fromkeys(shares["stage"]))
    colours = dict(zip(stages, _colours(len(stages)), strict=True))
    title = "Effective rank of the backbone's stages along pre-training"
    figure, panels = new_panels(
        title, origin_of(table), len(rows), PANELS_A_LINE, 1.6, entries=len(stages), shared=True
    )
    for axes, row in zip(panels, rows, strict=True):
        axes.axhline(1, color=GREY, linewidth=0.8, zorder=0)
        axes.axhline(COLLAPSED_SHARE, color=GREY, linestyle="--", linewidth=0.9, zorder=0)
        for stage, line in shares[shares["row"] == row].groupby("stage", sort=False):
            axes.plot(line["step"], line["share"], color=colours[stage], marker=".", markersize=3, linewidth=1.2)
        axes.set_title(plain(row, 26), fontsize=8)
    # All share one range, which is known now.
    panels[0].set_ylim(bottom=0)
    for axes in panels[-PANELS_A_LINE:]:
        axes.set_xlabel("Steps", fontsize=8)
    figure.supylabel("Rank / random start's", fontsize=9)
    place_legend(figure, [Line2D([], [], color=colour) for colour in colours.values()], stages)
    caption = (
        "Effective rank of the covariance of a stage's channels over voxels of fixed volumes outside the corpus (1: "
        "one direction), in shares of what the random start had on the same voxels; mean over seeds. "
        f"Dashed: {COLLAPSED_SHARE:g}, below which a stage that the method pre-trains counts as collapsed. Stages in "
        "the order in which volumes pass them, from dark to light; of a method that pre-trains the encoder alone, the "
        "decoder's follow what the encoder feeds them."
    )
    description = f"Small multiples of {len(rows)} methods: rank of {len(stages)} stages against pre-training steps."
    return [finish(figure, ("health", "stages"), title, caption, description, "svg")]


def _shares_by_row(table: Table) -> pd.DataFrame:
    """Columns ``row`` (its label), ``stage``, ``step`` and ``share``: the mean over the pre-trainings of a row."""
    curves = pretraining_curves(table)
    lines = curves[curves["curve"].astype(str).str.startswith(RANK)]
    lines = lines.assign(stage=lines["curve"].astype(str).str.removeprefix(RANK))
    starts = lines[lines["step"] == 0].drop_duplicates(["cell", "stage"]).set_index(["cell", "stage"])["value"]
    lines = lines.join(starts.rename("start"), on=["cell", "stage"])
    lines = lines.assign(share=lines["value"] / lines["start"])
    lines = lines[np.isfinite(lines["share"]) & (lines["share"] > 0)]
    return lines.groupby(["row", "stage", "step"], sort=False)["share"].mean().reset_index()


def _colours(count: int) -> list[str]:
    import seaborn

    found: list[str] = seaborn.color_palette("viridis", count).as_hex()
    return found
