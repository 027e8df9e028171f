"""What pre-trained methods make of volumes they never trained on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import finish, name_line, new_figure, origin_of, plain
from ssl_bench.report.table import Row, Table
from ssl_bench.store.example_file import Examples, PretextExample

GRID_LINES = 16


def pretext_pictures(table: Table, examples: Mapping[str, Examples]) -> list[Picture]:
    """One picture: a row for each method that shows something of its pretext."""
    found = {row: examples.get(pretraining_key(table, row) or "", Examples()).pretext for row in table.rows}
    shown = {row: example for row, example in found.items() if example is not None}
    return [_pretexts(table, shown)] if shown else []


def pretraining_key(table: Table, row: Row) -> str | None:
    """The key of the pre-training behind the row's lowest seed; None without one."""
    cells = table.cells[table.cells["_row"] == table.rows.index(row)]
    return str(cells.sort_values("seed", kind="stable")["pretraining"].iloc[0]) or None


def _pretexts(table: Table, shown: dict[Row, PretextExample]) -> Picture:
    across = max(len(example.images) + (example.displacement is not None) for example in shown.values())
    title = "What methods make of held-out volumes"
    real = table.corpus is not None and table.corpus.is_real
    figure = new_figure(title, origin_of(table, not real), 1.55 * len(shown) + 0.2, 1.6 * across)
    panels = figure.subplots(len(shown), across, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for line, (row, example) in zip(panels, shown.items(), strict=True):
        brightest = max(1, np.quantile(example.images, 0.995))
        for axes, name, image in zip(line, example.titles, example.images, strict=False):
            axes.imshow(image, cmap="gray", vmin=0, vmax=brightest)
            axes.set_title(plain(name, 24))
        if example.displacement is not None:
            axes = line[len(example.images)]
            draw_grid(axes, example.displacement)
            axes.set_title("deformation grid")
        name_line(line[0], row)
    caption = (
        "Middle axial slices of two volumes outside the corpus after pre-training, lowest seed. The grid shows where "
        "the warped image's pixels were fetched; movement through the slice is not seen."
    )
    description = (
        f"Rows of slices for {len(shown)} methods: the images of a pair, one warped onto the other, and the grid."
    )
    return finish(figure, ("pretext",), title, caption, description, "png")


def draw_grid(axes: Axes, displacement: NDArray[np.float16], aspect: float = 1.0) -> None:
    """A regular grid of which every node is moved by `displacement` (2: down and right, rows, columns), in pixels.

    `aspect` is a pixel's height over its width.
    """
    down, right = displacement.astype(np.float32)
    rows, columns = np.indices(down.shape)
    places = np.stack([columns + right, rows + down], axis=-1)
    every = max(1, max(down.shape) // GRID_LINES)
    lines = [*places[::every], *places[:, ::every].swapaxes(0, 1)]
    axes.add_collection(LineCollection(lines, colors="black", linewidths=0.7))
    height, width = down.shape
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_aspect(aspect)
