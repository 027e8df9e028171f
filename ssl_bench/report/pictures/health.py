"""Whether a representation has collapsed, against what it scores."""

from __future__ import annotations

from ssl_bench.report.pictures.measures import columns_by_protocol, panel_title
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.scatter import dashed_line, draw_points, mean_over_seeds
from ssl_bench.report.pictures.style import add_legend, finish, new_figure, origin_of, plain, row_styles
from ssl_bench.report.table import Row, Table


def health_pictures(table: Table, baseline: Row | None) -> list[Picture]:
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
        line[0].set_ylabel("Score (%)")
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
