"""A picture of cases: three mid-slices each, label contours, radiological orientation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ssl_bench.api.cases import Case
from ssl_bench.api.kinds import Kind
from ssl_bench.api.task import TaskFacts
from ssl_bench.files import atomic_write

# Okabe and Ito's colours, told apart with any colour vision; more classes reuse them with another dash.
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
_DASHES: tuple[Literal["solid", "dashed", "dotted", "dashdot"], ...] = ("solid", "dashed", "dotted", "dashdot")
_PLANES = ("axial", "coronal", "sagittal")


def draw_cases(
    cases: Sequence[Case],
    title: str,
    classes: Sequence[str],
    path: Path,
    real: bool = False,
    facts: TaskFacts | None = None,
) -> None:
    """Write a PNG with one column per case; segmentations as contours, what is said of a whole volume as text.

    `facts` are of the task; None for a corpus, and where `classes` say all. Of several channels the first is shown.
    """
    kind: Kind = facts.kind if facts else "classification"
    styles = [(_COLOURS[i % len(_COLOURS)], _DASHES[i // len(_COLOURS) % len(_DASHES)]) for i in range(len(classes))]
    segmented = any(not isinstance(case.label, int | float) for case in cases)
    legend_rows = -(-len(classes) // 4) if segmented else 0
    figure = Figure(figsize=(max(2.6 * len(cases), 8.5), 8.6 + 0.22 * legend_rows), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(_PLANES), len(cases), squeeze=False)
    origin = "real, prepared as the network sees it" if real else "semi-real, grown from one anatomy"
    figure.suptitle(f"{title}\n{origin}", fontsize=11)
    for column, case in enumerate(cases):
        label = None if isinstance(case.label, int | float) else _drawn(np.asarray(case.label), facts)
        verdict = "" if label is not None else f"\n{_verdict(case.label, classes, kind)}"
        panels[0, column].set_title(case.identifier + verdict, fontsize=8)
        image = case.channels[0]
        middle = _middle(image if label is None else label)
        for row, plane in enumerate(_PLANES):
            axes = panels[row, column]
            aspect, slice_ = _slice(image, row, middle, case.spacing_mm)
            low, high = _window(case)
            axes.imshow(slice_, cmap="gray", aspect=aspect, vmin=low, vmax=high)
            axes.set_xticks([])
            axes.set_yticks([])
            if column == 0:
                axes.set_ylabel(plane, fontsize=9)
            if plane != "sagittal":
                axes.text(0.02, 0.5, "R", transform=axes.transAxes, color="white", fontsize=8)
            if label is None:
                continue
            _, outlines = _slice(label, row, middle, case.spacing_mm)
            for index in np.unique(outlines[outlines > 0]):
                colour, dash = styles[index - 1]
                axes.contour(outlines == index, [0.5], colors=colour, linestyles=dash, linewidths=0.9)
    if segmented:
        handles = [Line2D([], [], color=colour, linestyle=dash) for colour, dash in styles]
        figure.legend(handles, classes, loc="outside lower center", ncols=4, fontsize=7, frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")


def _drawn(label: NDArray[Any], facts: TaskFacts | None) -> NDArray[Any]:
    from ssl_bench.training.labels import drawn

    return drawn(facts, label) if facts else label


def _verdict(label: Any, classes: Sequence[str], kind: Kind) -> str:
    if kind == "regression":
        return f"{label:g}"
    if not classes:
        return "no label"
    if kind == "multi-class":
        return str(classes[label])
    return classes[int(label) - 1] if label else f"no {classes[0]}"


def _middle(volume: NDArray[Any]) -> tuple[int, int, int]:
    """Per axis, of the slices that show nearly as much as the fullest one, the one nearest the middle.

    The plain middle would miss thin structures, and fall between the lungs.
    """
    places = []
    for axis, length in enumerate(volume.shape):
        shown = np.count_nonzero(volume, axis=tuple(other for other in range(3) if other != axis))
        full = np.flatnonzero(shown >= 0.95 * shown.max())
        places.append(int(full[np.abs(full - length // 2).argmin()]))
    return places[0], places[1], places[2]


def _slice(
    volume: NDArray[Any], plane: int, middle: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> tuple[float, NDArray[Any]]:
    """The aspect of one slice, and the slice as radiologists hang it: front or top up, the patient's right on the left.

    The axes of a volume point to superior, anterior and right. Sagittal slices face left.
    """
    rows, columns = [spacing_mm[axis] for axis in range(3) if axis != plane]
    return rows / columns, np.take(volume, middle[plane], plane)[::-1, ::-1]


def _window(case: Case) -> tuple[float, float]:
    """Grey levels without the extremes; for CT, whose air is 0, from about -300 HU."""
    low, high = np.quantile(case.channels[0], (0.02, 0.995))
    return float(low), float(high)
