"""One subject laid onto another: its slice, the displacement as a grid, and how far off that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ssl_bench.report.pictures.gallery import PREDICTION, TRUTH, draw_slice, outlines
from ssl_bench.report.pictures.kept import kept_by_column
from ssl_bench.report.pictures.matches import SCALE_INCHES, add_scale
from ssl_bench.report.pictures.measures import column_name, in_words
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.pretext import draw_grid
from ssl_bench.report.pictures.style import finish, name_line, new_image_lines, origin_of, place_legend, plain
from ssl_bench.report.table import Column, Row, Table
from ssl_bench.store.example_file import Examples, LaidPair

ERRORS = "YlOrRd"


def laid_pictures(table: Table, examples: Mapping[str, Examples]) -> list[Picture]:
    """One picture a task: each row's first pair of test cases."""
    kept = kept_by_column(table, examples, lambda one: one.laid)
    return [_laid(table, column, shown) for column, shown in kept]


def _laid(table: Table, column: Column, shown: dict[Row, LaidPair]) -> Picture:
    known = [laid.error_mm for laid in shown.values() if laid.error_mm is not None]
    across = 3 if known else 2
    title = f"One subject laid onto another, {in_words(table, column)}"
    ratio = float(np.mean([np.divide(*own.image.shape) * np.divide(*own.pixel_mm) for own in shown.values()]))
    aspect = float(np.clip(ratio, 0.4, 2.5))
    figure, lines = new_image_lines(title, origin_of(table), len(shown), across, aspect, beside=SCALE_INCHES)
    scale = Normalize(0, max([1.0, *(_largest(error) for error in known)]))
    for line, (row, laid) in zip(lines, shown.items(), strict=False):
        draw_slice(line[0], laid)
        line[0].set_title(plain(f"{laid.partner} on {laid.case}", 24), fontsize=7, pad=2)
        draw_grid(line[1], laid.displacement, laid.pixel_mm[0] / laid.pixel_mm[1])
        line[1].set_title("deformation grid", fontsize=7, pad=2)
        if laid.error_mm is not None:
            draw_error(line[2], laid, scale)
            line[2].set_title(f"error, median {_median(laid.error_mm):.1f} mm", fontsize=7, pad=2)
        name_line(line[0], row)
    if known:
        add_scale(figure, lines, scale, ERRORS, "error, mm")
    handles = [Line2D([], [], color=TRUTH, linewidth=2), Line2D([], [], color=PREDICTION, linewidth=1)]
    place_legend(figure, handles, ["reference", "laid onto it"])
    error = (
        "Right: how far from its true place each voxel was fetched, in all three directions, up to the 99th "
        "percentile; grey where that lies outside. Where nothing can be told apart, as in air, the solver only "
        "smooths. "
        if known
        else "Nobody knows the true places in these cases: outlines that meet say nothing of what lies inside them. "
    )
    caption = (
        "Left: a slice of one subject fetched onto another, outlines of this one (reference) and of what was laid onto "
        "it; the first pair of test cases, the same "
        "in every row, at the axial slice with the most foreground. Middle: from where each place was fetched, within "
        f"the slice. {error}A pair is an example; the score is over all."
    )
    description = f"For each of {len(shown)} rows a slice with two sets of outlines and a deformed grid" + (
        ", and a map of errors." if known else "."
    )
    return finish(figure, ("laid", *column_name(table, column)), title, caption, description, "png")


def draw_error(axes: Axes, laid: LaidPair, scale: Normalize) -> None:
    """The error at every pixel, grey where it is not known, and the outlines of the structures."""
    assert laid.error_mm is not None
    height, width = laid.pixel_mm
    colours = colormaps[ERRORS].with_extremes(bad="0.8")
    axes.imshow(laid.error_mm.astype(np.float32), cmap=colours, norm=scale, aspect=height / width)
    axes.add_collection(LineCollection(list(outlines(laid.truth)), colors=TRUTH, linewidths=0.8))


def _largest(error: NDArray[Any]) -> float:
    """Without the farthest hundredth, beside which all others would look alike."""
    finite = error[np.isfinite(error)].astype(np.float64)
    return float(np.quantile(finite, 0.99)) if len(finite) else 0.0


def _median(error: NDArray[Any]) -> float:
    finite = error[np.isfinite(error)].astype(np.float64)
    return float(np.median(finite)) if len(finite) else float("nan")
