"""Scores against the share of labels."""

from __future__ import annotations

from ssl_bench.report.pictures.measures import label_fraction, measured, metric_of
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import add_legend, finish, new_panels, origin_of, plain, row_styles
from ssl_bench.report.table import Column, Row, Table

Cohort = tuple[str, str, int]
"""A task, the fingerprint of its data, and the fold."""


def label_efficiency_pictures(table: Table) -> list[Picture]:
    """One picture a protocol: scores against the fraction of labels, where a task was run with several."""
    found: dict[str, dict[Cohort, dict[float, Column]]] = {}
    for column in table.columns:
        by_cohort = found.setdefault(column[1], {})
        by_cohort.setdefault(_cohort(table, column), {})[label_fraction(table, column)] = column
    several = {
        protocol: {cohort: columns for cohort, columns in by_cohort.items() if len(columns) > 1}
        for protocol, by_cohort in found.items()
    }
    return [_label_efficiency(table, protocol, by_cohort) for protocol, by_cohort in several.items() if by_cohort]


def _label_efficiency(table: Table, protocol: str, by_cohort: dict[Cohort, dict[float, Column]]) -> Picture:
    styles = row_styles(table)
    title = f"Label efficiency under {plain(protocol)}: scores with fewer training labels"
    figure, panels = new_panels(title, origin_of(table), len(by_cohort), 2, 2.3, entries=len(table.rows))
    shown: set[Row] = set()
    for axes, ((task, _, fold), columns) in zip(panels, by_cohort.items(), strict=True):
        scores = {fraction: measured(table, column) for fraction, column in sorted(columns.items())}
        for row, style in styles.items():
            points = [(100 * fraction, by_row[row].value) for fraction, by_row in scores.items() if row in by_row]
            if points:
                shown.add(row)
                axes.plot(
                    *zip(*points, strict=True), style.marker, color=style.colour, linestyle=style.dash, markersize=4
                )
        axes.set_xscale("log")
        axes.set_xticks([100 * fraction for fraction in scores], [f"{100 * fraction:g}" for fraction in scores])
        axes.minorticks_off()
        name = plain(task if "-" in task else task.upper())
        axes.set_title(f"{name}, fold {fold}" if fold else name)
        axes.set_xlabel("Labelled training cases (%)")
        axes.set_ylabel(f"{metric_of(table, next(iter(columns.values())))} (%)")
    add_legend(figure, styles, shown, lines=True)
    caption = (
        "Mean over test cases and seeds. The training cases of every fraction are among those of the next larger one; "
        "validation and test cases stay the same."
    )
    description = f"Line plots of score against the fraction of labels under {plain(protocol)}, one panel a task."
    return finish(figure, ("label-efficiency", protocol), title, caption, description, "svg")


def _cohort(table: Table, column: Column) -> Cohort:
    data = next(table.records(column)).science.data
    return column[0], data.fingerprint, getattr(data, "fold", 0)
