"""What all pictures of a table share: colours, markers, words, and how a figure becomes bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType

from ssl_bench.api.method_facts import PARADIGMS
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.results import no_collection
from ssl_bench.report.table import Row, Table

WIDTH = 6.4
"""Inches: text of 9 points stays readable at half the width of a page."""

LEGEND_COLUMNS = 3

GREY = "0.45"
# Places in seaborn's "colorblind" palette; what was not pre-trained is black.
_HUES = {"centroid-hidden": 0, "centroid-absolute": 2, "centroid-relative": 1, "geometric": 4, "external": 5}
_MARKERS = "osD^vPX<>ph*d8"
_DASHES: tuple[LineStyleType, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)


class Style(NamedTuple):
    """How a row is drawn in every picture of its table."""

    colour: str
    marker: str
    dash: LineStyleType


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Inside, figures have one look, text is never read as mathematics, and the same figure gives the same bytes."""
    look: Any = {
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.titley": 1.0,
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "0.9",
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "figure.titlesize": 10,
        "text.parse_math": False,
        "axes.formatter.use_mathtext": False,
        "axes.formatter.useoffset": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "ssl-bench",
    }
    with matplotlib.rc_context(look), no_collection():
        yield


def new_figure(title: str, origin: str, height: float, width: float = WIDTH, entries: int = 0) -> Figure:
    """A figure with its title, below it what the data are; `height` in inches is that of the panels.

    Title and a legend of `entries` take their room on top of it.
    """
    letters = int(12.5 * width)
    heading = textwrap.wrap(title, letters) + textwrap.wrap(origin, letters)
    total = height + 0.19 * len(heading) + 0.19 * -(-entries // LEGEND_COLUMNS) + 0.15
    figure = Figure(figsize=(width, total), layout="constrained", dpi=110)
    figure.suptitle("\n".join(heading))
    return figure


def new_panels(
    title: str, origin: str, count: int, columns: int, height: float, entries: int = 0, shared: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels in rows of `columns`, each row of `height`; with `shared`, all show one range."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new_figure(title, origin, rows * height, entries=entries)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).flat)
    for left_over in panels[count:]:
        left_over.remove()
    if shared:
        # Small multiples are read by their outlines; every tick costs as much as a curve.
        panels[0].locator_params(nbins=3)
    for axes in panels[max(0, count - columns) : count]:
        axes.tick_params(labelbottom=True)
    return figure, panels[:count]


def new_image_lines(
    title: str, origin: str, count: int, across: int, aspect: float, beside: float = 0.0
) -> tuple[Figure, list[Sequence[Axes]]]:
    """A figure of `count` lines of `across` images, more than four in two blocks beside each other, no axes drawn.

    `aspect` is an image's height over its width; `beside` are inches of the width for a scale. What is left over of the
    last block stands behind the lines.
    """
    blocks, width = (2, 7.4) if count > 4 else (1, 5.2)
    down = -(-count // blocks)
    height = aspect * (width - 0.25 * blocks - beside) / (across * blocks) + 0.2
    figure = new_figure(title, origin, down * height, width, entries=2)
    panels = figure.subplots(down, across * blocks, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    return figure, [line[across * block : across * (block + 1)] for block in range(blocks) for line in panels]


def finish(
    figure: Figure, name: Sequence[str], title: str, caption: str, description: str, format_: Literal["svg", "png"]
) -> Picture:
    """The picture that `figure` is; `name` holds the parts of its name."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text():
                # Given a place, an empty label asks every tick for its size no more.
                axis.set_label_coords(0.5, 0.5)
    lay_out(figure, format_)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format_, metadata={"Date": None} if format_ == "svg" else {"Software": None})
    return Picture(slug(*name), title, caption, description, buffer.getvalue(), format_)


def lay_out(figure: Figure, format_: Literal["svg", "png"]) -> None:
    """Give the panels and titles of `figure` their places; `Figure.savefig` would draw it once more for that."""
    (FigureCanvasSVG if format_ == "svg" else FigureCanvasAgg)(figure)
    if format_ == "svg":
        # As the format's own renderer does; places depend on it in their last digits.
        figure.set_dpi(72)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def uniquely_named(pictures: Sequence[Picture]) -> list[Picture]:
    """`pictures`, those whose name another one had before with a number behind it."""
    seen: Counter[str] = Counter()
    named = []
    for picture in pictures:
        seen[picture.name] += 1
        number = seen[picture.name]
        named.append(picture if number == 1 else dataclasses.replace(picture, name=f"{picture.name}-{number}"))
    return named


def row_styles(table: Table) -> dict[Row, Style]:
    """One colour a paradigm, one marker and dash a row of it."""
    import seaborn

    palette = seaborn.color_palette("colorblind").as_hex()
    seen: dict[str, int] = defaultdict(int)
    styles = {}
    for row in table.rows:
        place, hue = seen[row.paradigm], _HUES.get(row.paradigm)
        seen[row.paradigm] += 1
        colour = "black" if row.paradigm == "none" else GREY if hue is None else palette[hue]
        styles[row] = Style(colour, _MARKERS[place % len(_MARKERS)], _DASHES[place % len(_DASHES)])
    return styles


def add_legend(figure: Figure, styles: dict[Row, Style], rows: Iterable[Row], lines: bool = False) -> None:
    """Below the panels: each of `rows` with its marker, and with its line."""
    shown = [row for row in styles if row in set(rows)]
    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle=style.dash if lines else "", markersize=5)
        for style in (styles[row] for row in shown)
    ]
    place_legend(figure, handles, [row.label for row in shown])


def place_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], size: float = 8) -> None:
    """Below the panels."""
    names = [plain(label, 30) for label in labels]
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=LEGEND_COLUMNS,
        fontsize=size,
        handlelength=3,
        labelspacing=0.35,
    )


def name_line(axes: Axes, row: Row) -> None:
    """The row's name, upright left of the first panel of its line."""
    name = plain(row.label, 22)
    axes.text(-0.04, 0.5, name, transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=8)


def paradigms_of(rows: Iterable[Row]) -> list[str]:
    """The paradigms of `rows`, in the table's order."""
    found = {row.paradigm for row in rows}
    return [name for name in (*PARADIGMS, "external") if name in found]


def origin_of(table: Table, semi_real: bool | None = None) -> str:
    """What the data are and how large the runs were; `semi_real` where it is not the table's own."""
    real = table.is_real if semi_real is None else not semi_real
    data = "real data" if real else "semi-real, one anatomy"
    preset = f"preset {plain(table.setting.preset)}" + (" with changes" if table.setting.overrides else "")
    return f"{data} · {preset}" + ("" if table.setting.ranked else ", not ranked")


def plain(text: str, longest: int = 36) -> str:
    """Text out of a record as it may stand in a picture: printable, on one line, of bounded length."""
    printable = "".join(letter if letter.isprintable() else "�" for letter in text)
    return printable if len(printable) <= longest else f"{printable[: longest - 1]}…"


def slug(*parts: str) -> str:
    """A name made of `parts` that is an identifier on a page and a safe file name."""
    return "-".join(re.sub(r"[^a-z0-9_-]+", "-", part.lower()).strip("-")[:40] or "x" for part in parts)
