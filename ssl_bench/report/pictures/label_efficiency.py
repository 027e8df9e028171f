"""Scores against the share of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ssl_bench.report.pictures.measures import Fractions, axis_of, cohorts_by_protocol, measured
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import add_legend, finish, new_panels, origin_of, plain, row_styles
from ssl_bench.report.table import Row, Table


def label_efficiency_pictures(table: Table) -> list[Picture]:
    """One picture a protocol: scores against the fraction of labels, where a task was run with several."""
    several = {
        protocol: [fractions for fractions in cohorts if len(fractions) > 1]
        for protocol, cohorts in cohorts_by_protocol(table).items()
    }
    return [_label_efficiency(table, protocol, cohorts) for protocol, cohorts in several.items() if cohorts]


def _label_efficiency(table: Table, protocol: str, cohorts: Sequence[Fractions]) -> Picture:
    styles = row_styles(table)
    title = f"Label efficiency under {plain(protocol)}: scores with fewer training labels"
    figure, panels = new_panels(title, origin_of(table), len(cohorts), 2, 2.3, entries=len(table.rows))
    shown: set[Row] = set()
    for axes, name, fractions in zip(panels, _titles(table, cohorts), cohorts, strict=True):
        scores = {fraction: measured(table, column) for fraction, column in fractions.items()}
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
        axes.set_title(name)
        axes.set_xlabel("Labelled training cases (%)")
        axes.set_ylabel(axis_of(table, next(iter(fractions.values()))))
    add_legend(figure, styles, shown, lines=True)
    caption = (
        "Mean over test cases and seeds. The training cases of every fraction are among those of the next larger one; "
        "validation and test cases stay the same."
    )
    description = f"Line plots of score against the fraction of labels under {plain(protocol)}, one panel a task."
    return finish(figure, ("label-efficiency", protocol), title, caption, description, "svg")


def _titles(table: Table, cohorts: Sequence[Fractions]) -> list[str]:
    """The task and the fold of each; where those are not enough, the digits of the column with the most labels."""
    largest = [list(fractions.values())[-1] for fractions in cohorts]
    titles = []
    for column in largest:
        fold = table.lines(column)["fold"].iloc[0]
        name = plain(column[0] if "-" in column[0] else column[0].upper())
        titles.append(f"{name}, fold {fold}" if fold else name)
    counts = Counter(titles)
    return [
        title if counts[title] == 1 else f"{title} {plain(column[2][:6])}"
        for title, column in zip(titles, largest, strict=True)
    ]
