"""Validation against steps: how a method learns downstream, and how much sooner than the baseline."""

from __future__ import annotations

from ssl_bench.report.pictures.measures import (
    Curve,
    axis_of,
    column_name,
    columns_by_protocol,
    in_words,
    panel_title,
    trains_everything,
    validation_curves,
)
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import GREY, add_legend, finish, new_panels, origin_of, plain, row_styles
from ssl_bench.report.table import Column, Row, Table


def learning_curve_pictures(table: Table) -> list[Picture]:
    """One picture a protocol: the validation score of every row against the step, one panel a task."""
    pictures = []
    for protocol, columns in columns_by_protocol(table).items():
        curves = {column: found for column in columns if (found := validation_curves(table, column))}
        if curves:
            pictures.append(_learning_curves(table, protocol, curves))
    return pictures


def convergence_pictures(table: Table, baseline: Row | None) -> list[Picture]:
    """One picture a task and protocol that trains the whole network: each row's curve beside that of `baseline`."""
    pictures = []
    for columns in columns_by_protocol(table).values():
        for column in columns:
            curves = validation_curves(table, column) if trains_everything(table, column) else {}
            if baseline in curves and len(curves) > 1:
                pictures.append(_convergence(table, column, curves, baseline))
    return pictures


def _learning_curves(table: Table, protocol: str, curves: dict[Column, dict[Row, Curve]]) -> Picture:
    styles = row_styles(table)
    title = f"Learning curves under {plain(protocol)}"
    figure, panels = new_panels(title, origin_of(table), len(curves), 2, 2.3, entries=len(table.rows))
    for axes, (column, by_row) in zip(panels, curves.items(), strict=True):
        for row, curve in by_row.items():
            style = styles[row]
            axes.plot(
                *curve[:2], color=style.colour, linestyle=style.dash, marker=style.marker, markersize=3, linewidth=1.2
            )
        axes.set_title(panel_title(table, column))
        axes.set_xlabel("Downstream steps")
        axes.locator_params(axis="x", integer=True)
        axes.set_ylabel(f"Validation {axis_of(table, column)}")
    add_legend(figure, styles, {row for by_row in curves.values() for row in by_row}, lines=True)
    caption = (
        "Score on the validation cases, mean over seeds. A curve that still improves at its end belongs to a cell that "
        "has not converged. Where a protocol tries several learning rates, the one chosen is shown."
    )
    description = f"Line plots of validation score against steps under {plain(protocol)}, one panel a task."
    return finish(figure, ("learning-curves", protocol), title, caption, description, "svg")


def _convergence(table: Table, column: Column, curves: dict[Row, Curve], baseline: Row) -> Picture:
    styles, reference, name = row_styles(table), curves[baseline], plain(baseline.label, 26)
    others = [row for row in curves if row != baseline]
    own = reference.first_at(reference.best)
    assert own is not None
    title = f"Convergence on {in_words(table, column)}: steps to the best of {name}"
    figure, panels = new_panels(title, origin_of(table), len(others), 4, 1.6, shared=True)
    reached, unit = 0, table.metric(column).unit
    best = f"{reference.best:.1f} %" if unit == "%" else f"{reference.best:.3g}"
    for axes, row in zip(panels, others, strict=True):
        style, step = styles[row], curves[row].first_at(reference.best)
        axes.axhline(reference.best, color=GREY, linestyle=":", linewidth=0.9)
        axes.plot(*reference[:2], color=GREY, linewidth=1.1)
        axes.plot(own, reference.best, "o", color=GREY, markersize=4)
        axes.plot(*curves[row][:2], color=style.colour, linewidth=1.5)
        if step is not None:
            reached += 1
            axes.axvline(step, color=style.colour, linestyle="--", linewidth=0.9)
        axes.locator_params(axis="x", integer=True)
        verdict = "not reached" if step is None else steps_text(step)
        axes.set_title(f"{plain(row.label, 22)}\n{verdict}", fontsize=8)
    figure.supxlabel(f"Downstream steps ({name} in grey: {steps_text(own)} to its best)", fontsize=9)
    figure.supylabel(f"Validation {axis_of(table, column)}", fontsize=9)
    caption = (
        f"Each method's validation curve (colour) with that of {name} (grey), mean over seeds. Dotted: the best of "
        f"{name}, {best} after {steps_text(own)}. Dashed: the first validated step at which the method "
        f"is as good. After GVSL (CVPR 2023), Fig. 6, whose percentages are differences of such steps over the whole "
        f"schedule, here {steps_text(max(reference.steps))}."
    )
    description = f"Small multiples of {len(others)} validation curves; {reached} reach the best score of {name}."
    return finish(figure, ("convergence", *column_name(table, column)), title, caption, description, "svg")


def steps_text(steps: float) -> str:
    """So many steps, in words."""
    return f"{steps:g} step{'' if steps == 1 else 's'}"
