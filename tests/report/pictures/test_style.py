"""Words around the panels: rows, metrics, legends, and places where nothing lies on anything else."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ssl_bench.report.pictures.cost import cost_pictures
from ssl_bench.report.pictures.curves import convergence_pictures, learning_curve_pictures
from ssl_bench.report.pictures.gallery import gallery_pictures
from ssl_bench.report.pictures.kept import examples_of
from ssl_bench.report.pictures.label_efficiency import label_efficiency_pictures
from ssl_bench.report.pictures.measures import in_lines
from ssl_bench.report.pictures.pretext import pretext_pictures
from ssl_bench.report.pictures.scores import score_pictures
from ssl_bench.report.pictures.style import drawing, lay_out, new_panels, paradigms_of
from ssl_bench.report.table import Row, Table
from ssl_bench.store.example_file import Examples, write_examples
from ssl_bench.store.store import Store
from tests.report.pictures.conftest import GVSL, RECORDS, SCRATCH, only_table, record

Figures = list[Figure]
ROWS = ["scratch", "byol", "simsiam", "gvsl"]


def legend(figure: Figure) -> list[str]:
    (found,) = figure.legends
    return [text.get_text() for text in found.get_texts()]


def test_axes_name_the_metric(table: Table, figures: Figures) -> None:
    score_pictures(table, SCRATCH)
    assert {axes.get_xlabel() for figure in figures for axes in figure.axes} == {"DSC (%)"}
    figures.clear()
    cost_pictures(table, SCRATCH)
    label_efficiency_pictures(table)
    assert {figure.axes[0].get_ylabel() for figure in figures} == {"DSC (%)"}
    figures.clear()
    learning_curve_pictures(table)
    convergence_pictures(table, SCRATCH)
    *curves, convergence = figures
    assert {figure.axes[0].get_ylabel() for figure in curves} == {"Validation DSC (%)"}
    assert convergence.get_supylabel() == "Validation DSC (%)"


def test_a_classification_is_scored_by_another_metric(figures: Figures) -> None:
    cases = [{"case": str(place), "label": place % 2, "probability": place / 4} for place in range(4)]
    score_pictures(only_table([record("gvsl", "ccc", "linear", (0.5,), cases=cases, metric="AUC")]), None)
    assert [axes.get_xlabel() for axes in figures[0].axes] == ["AUC (%)"]


def test_legends_name_paradigms_or_rows(table: Table, examples: dict[str, Examples], figures: Figures) -> None:
    score_pictures(table, SCRATCH)
    assert legend(figures[0]) == ["no pre-training", "centroid-relative", "geometric"]
    learning_curve_pictures(table)
    assert legend(figures[-1]) == ROWS
    gallery_pictures(table, examples)
    assert legend(figures[-1]) == ["reference", "prediction"]


def test_paradigms_come_in_the_order_of_the_table_and_files_of_weights_last() -> None:
    rows = [Row("external", "a file", ""), GVSL, Row("geometric", "gvsl_no_affine", ""), SCRATCH]
    assert paradigms_of(rows) == ["none", "geometric", "external"]
    assert paradigms_of([GVSL]) == ["geometric"]


@pytest.mark.parametrize("draw", [gallery_pictures, pretext_pictures])
def test_lines_of_images_are_named_by_their_row(
    draw: object, table: Table, examples: dict[str, Examples], figures: Figures
) -> None:
    draw(table, examples)  # type: ignore[operator]
    named = [text.get_text() for axes in figures[0].axes for text in axes.texts if text.get_rotation() == 90]
    assert named == (ROWS if draw is gallery_pictures else ROWS[1:])


def test_the_examples_of_a_table_are_those_of_its_cells_and_of_their_pretrainings(
    table: Table, examples: dict[str, Examples], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    for key, kept in examples.items():
        write_examples(store.examples_path(key), kept)
    write_examples(store.examples_path("0123456789abcdef"), Examples())
    found = examples_of(table, store)
    pretrained = {one.spec.backbone.key for one in RECORDS if one.spec.method != "scratch"}  # type: ignore[union-attr]
    assert found.keys() == {one.key for one in RECORDS} | pretrained
    assert all(len(kept.slices) == 3 for kept in found.values())


@pytest.mark.parametrize(("format_", "dpi"), [("svg", 72), ("png", 110)])
def test_panels_that_are_laid_out_lie_inside_the_figure_and_beside_each_other(format_: str, dpi: int) -> None:
    with drawing():
        figure, panels = new_panels("A title of some length", "where data are from", 4, 2, 1.2)
        for axes in panels:
            axes.set_title("two lines of a\ntitle above the panel")
            axes.set_xlabel("below")
            axes.set_ylabel("beside")
        lay_out(figure, format_)  # type: ignore[arg-type]
        boxes = [axes.get_tightbbox() for axes in panels]
        before = [axes.get_position().bounds for axes in panels]
        figure.draw_without_rendering()
    assert figure.dpi == dpi
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert [axes.get_position().bounds for axes in panels] == before, "drawing it lays nothing out again"


def test_long_names_of_data_sets_break_where_they_have_a_mark() -> None:
    assert in_lines("nnunet-Dataset028_BrainStructures DSC", 24) == "nnunet-Dataset028_\nBrainStructures DSC"
    assert in_lines("folder-hearts macro AUC", 24) == "folder-hearts macro AUC"
    assert in_lines("shc DSC, 10 % of the labels", 12) == "shc DSC, 10\n% of the\nlabels"


def test_steps_are_whole_numbers(table: Table, figures: Figures) -> None:
    learning_curve_pictures(table)
    convergence_pictures(table, SCRATCH)
    for figure in figures:
        for axes in figure.axes:
            assert all(tick == round(tick) for tick in axes.get_xticks())
