"""Test cases: what is there, and what a method saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ssl_bench.report.pictures.kept import kept_by_column
from ssl_bench.report.pictures.measures import column_name, in_words
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import finish, name_line, new_image_lines, origin_of, place_legend, plain
from ssl_bench.report.table import Column, Row, Table
from ssl_bench.store.example_file import Examples, LaidPair, SegmentedSlice

# Sky blue and orange of the colour-blind palette: both stand out from grey.
TRUTH, PREDICTION = "#56b4e9", "#de8f05"
PLACES = ("worst", "median", "best")


def gallery_pictures(table: Table, examples: Mapping[str, Examples]) -> list[Picture]:
    """One picture a task and protocol: each row's worst, median and best test case, contours over the image.

    `examples` are those of every cell by its key.
    """
    kept = kept_by_column(table, examples, lambda one: one.slices)
    return [_gallery(table, column, shown) for column, shown in kept]


def _gallery(table: Table, column: Column, shown: dict[Row, tuple[SegmentedSlice, ...]]) -> Picture:
    title = f"Test cases of {in_words(table, column)}"
    figure, lines = new_image_lines(title, origin_of(table), len(shown), 3, _mean_aspect(shown))
    for line, (row, slices) in zip(lines, shown.items(), strict=False):
        for axes, example in zip(line, slices[:3], strict=False):
            draw_slice(axes, example)
            axes.set_title(f"{plain(example.place, 8)}, DSC {100 * example.dsc:.0f} %", fontsize=7.5, pad=2)
        name_line(line[0], row)
    handles = [Line2D([], [], color=TRUTH, linewidth=2), Line2D([], [], color=PREDICTION, linewidth=1)]
    place_legend(figure, handles, ["reference", "prediction"])
    fold = " and fold" if table.folds(column)[0] > 1 else ""
    caption = (
        "For every method its worst, median and best test case, at the axial slice with the most foreground. Blue: "
        "outlines of the reference; orange: of the prediction, all structures alike. DSC is that of the whole case, "
        f"lowest seed{fold}."
    )
    worst = min(slices[0].dsc for slices in shown.values())
    description = (
        f"Axial slices of three test cases for each of {len(shown)} methods, with outlines of reference and "
        f"prediction; the worst case shown has a DSC of {100 * worst:.0f} %."
    )
    return finish(figure, ("gallery", *column_name(table, column)), title, caption, description, "png")


def _mean_aspect(shown: Mapping[Row, Sequence[SegmentedSlice]]) -> float:
    """Height over width, in millimetres."""
    slices = [example for found in shown.values() for example in found]
    ratios = [np.divide(*example.image.shape) * np.divide(*example.pixel_mm) for example in slices]
    return float(np.clip(np.mean(ratios), 0.4, 2.5))


def draw_slice(axes: Axes, example: SegmentedSlice | LaidPair) -> None:
    """The grey slice, and on it the outlines of reference and prediction."""
    draw_grey(axes, example.image, example.pixel_mm)
    for labels, colour, thickness in ((example.truth, TRUTH, 1.5), (example.prediction, PREDICTION, 0.7)):
        axes.add_collection(LineCollection(list(outlines(labels)), colors=colour, linewidths=thickness))


def draw_grey(axes: Axes, image: NDArray[np.uint8], pixel_mm: tuple[float, float]) -> None:
    """An image (rows, columns) whose pixels have that height and width; the brightest half of a percent is white."""
    height, width = pixel_mm
    axes.imshow(image, cmap="gray", vmin=0, vmax=max(1, np.quantile(image, 0.995)), aspect=height / width)


def outlines(labels: NDArray[Any]) -> NDArray[np.float64]:
    """The sides of pixels between two classes, (sides, 2 ends, x and y), in pixels; pixel centres are whole numbers."""
    rows, columns = np.nonzero(labels[:, 1:] != labels[:, :-1])
    upright = np.stack([_points(columns + 0.5, rows - 0.5), _points(columns + 0.5, rows + 0.5)], axis=1)
    rows, columns = np.nonzero(labels[1:] != labels[:-1])
    level = np.stack([_points(columns - 0.5, rows + 0.5), _points(columns + 0.5, rows + 0.5)], axis=1)
    return np.concatenate([upright, level])


def _points(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    return np.stack([x, y], axis=-1)
