"""Matched points: where they were found in another subject, and how far that is from where they truly lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import ScalarFormatter

from ssl_bench.report.pictures.gallery import TRUTH, draw_grey
from ssl_bench.report.pictures.kept import kept_by_column
from ssl_bench.report.pictures.measures import column_name, in_words
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import (
    add_legend,
    finish,
    name_line,
    new_image_lines,
    new_panels,
    origin_of,
    place_legend,
    plain,
    row_styles,
)
from ssl_bench.report.table import Column, Row, Table
from ssl_bench.store.example_file import Examples, Matches

# Yellow to red: both ends stand out from grey, and one is lighter than the other.
ERRORS = "autumn_r"
LEAST_MM = 0.5
"""Where the curves begin."""


def match_pictures(table: Table, examples: Mapping[str, Examples]) -> list[Picture]:
    """Two pictures a task: each row's points of one pair, and how far off all of its points are."""
    kept = kept_by_column(table, examples, lambda one: one.matches)
    return [draw(table, column, shown) for column, shown in kept for draw in (_points, _curves)]


def _points(table: Table, column: Column, shown: dict[Row, Matches]) -> Picture:
    title = f"Points found in another subject, {in_words(table, column)}"
    figure, lines = new_image_lines(title, origin_of(table), len(shown), 2, _aspect(shown), beside=SCALE_INCHES)
    # One scale for all rows, so that a colour is the same error everywhere.
    largest = max(float(matches.error_mm.max()) for matches in shown.values())
    scale = LogNorm(1, max(10.0, largest), clip=True)
    for (source, target), (row, matches) in zip(lines, shown.items(), strict=False):
        draw_pair(source, target, matches, scale)
        source.set_title(plain(matches.source, 18), fontsize=7.5, pad=2)
        target.set_title(f"{plain(matches.target, 18)}, median {np.median(matches.error_mm):.1f} mm",
                         fontsize=7.5, pad=2)  # fmt: skip
        name_line(source, row)
    add_scale(figure, lines, scale, ERRORS, "error, mm (log scale)")
    handles = [
        Line2D([], [], color=TRUTH, marker="o", linestyle="", markersize=5, markerfacecolor="none"),
        Line2D([], [], color="#ff8000", marker="o", linestyle="", markersize=4),
    ]
    place_legend(figure, handles, ["true place", "found, coloured by its error"])
    caption = (
        "Left: points of one subject; right: where they truly lie in another (rings) and where the most similar "
        "feature was found (dots), joined. The first pair of test cases, the same points in every row, those nearest "
        "to the axial slice with the most foreground. All are drawn on one slice of each subject: what lies before or "
        "behind it is not seen, and the colour, the error in all three directions, counts it. The median is that of "
        "these points alone; a pair is an example, the score is over all."
    )
    worst = max(float(np.median(matches.error_mm)) for matches in shown.values())
    description = (
        f"Two slices for each of {len(shown)} rows with the same points, true and found; the largest median error of a "
        f"row's points is {worst:.1f} mm."
    )
    return finish(figure, ("matches", *column_name(table, column)), title, caption, description, "png")


def draw_pair(source: Axes, target: Axes, matches: Matches, scale: Normalize) -> None:
    """The points on the slice of `source`; on that of `target` their true places and where they were found, joined."""
    draw_grey(source, matches.source_image, matches.source_pixel_mm)
    draw_grey(target, matches.target_image, matches.target_pixel_mm)
    errors: dict[str, Any] = {"c": matches.error_mm, "cmap": ERRORS, "norm": scale, "s": 9, "linewidths": 0}
    # Places are (down, right), a plot's are (right, down).
    points, partners, found = (places[:, ::-1] for places in (matches.points, matches.partners, matches.found))
    source.scatter(points[:, 0], points[:, 1], **errors)
    lines = LineCollection(list(np.stack([partners, found], axis=1)), array=matches.error_mm, cmap=ERRORS, norm=scale)
    lines.set_linewidth(0.8)
    target.add_collection(lines)
    target.scatter(partners[:, 0], partners[:, 1], s=14, facecolors="none", edgecolors=TRUTH, linewidths=0.9)
    target.scatter(found[:, 0], found[:, 1], **errors)


SCALE_INCHES = 0.8
"""Of a figure's width, that `add_scale` takes."""


def add_scale(figure: Figure, lines: Sequence[Sequence[Axes]], scale: Normalize, colours: str, label: str) -> None:
    """What the colours in `lines` of images mean, right of them."""
    every = [axes for line in lines for axes in line]
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=every, aspect=40, pad=0.01, fraction=0.03)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.ax.yaxis.set_major_formatter(ScalarFormatter())


def _aspect(shown: Mapping[Row, Matches]) -> float:
    """Height over width of the taller slice, in millimetres."""
    sides = [(own.source_image, own.source_pixel_mm) for own in shown.values()]
    sides += [(own.target_image, own.target_pixel_mm) for own in shown.values()]
    tallest = max(np.divide(*image.shape) * np.divide(*pixel_mm) for image, pixel_mm in sides)
    return float(np.clip(tallest, 0.4, 2.5))


def _curves(table: Table, column: Column, shown: dict[Row, Matches]) -> Picture:
    title = f"How far off matched points are, {in_words(table, column)}"
    styles = row_styles(table)
    figure, (axes,) = new_panels(title, origin_of(table), 1, 1, 3.2, entries=len(shown))
    for row, matches in shown.items():
        quantiles = matches.every_error_mm
        shares = np.linspace(0, 100, len(quantiles))
        style = styles[row]
        axes.plot(
            quantiles.clip(LEAST_MM), shares, style.marker, color=style.colour, linestyle=style.dash, lw=1.2,
            markersize=4, markevery=20,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(left=LEAST_MM)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_ylim(0, 100)
    axes.set_xlabel("Error, mm (log scale)")
    axes.set_ylabel("Points no farther off (%)")
    add_legend(figure, styles, shown, lines=True)
    caption = (
        "The share of points whose match lies no farther from the true place than so many millimetres: all points of "
        f"all pairs, lowest seed; the left edge is {LEAST_MM:g} mm or less. Higher is better. The points of a pair, "
        "and pairs that share a subject, are not independent: the score with its interval says what the curves cannot."
    )
    medians = [float(np.median(matches.every_error_mm)) for matches in shown.values()]
    between = f"between {min(medians):.1f} and {max(medians):.1f} mm"
    description = f"A rising curve for each of {len(shown)} rows; medians lie {between}."
    return finish(figure, ("match-errors", *column_name(table, column)), title, caption, description, "svg")
