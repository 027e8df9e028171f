"""``ssl-bench report``: tables from the records."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssl_bench.cli import options
from ssl_bench.errors import UserError
from ssl_bench.report.family import Family

if TYPE_CHECKING:
    from ssl_bench.store.store import Store


class Format(StrEnum):
    """The form in which a report is written."""

    md = "md"
    csv = "csv"
    statistics_csv = "statistics-csv"
    latex = "latex"
    html = "html"


def report(
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="Markdown to read, CSV of cells or of their statistics to compute with, LaTeX for a paper, HTML for a "
            "browser.",
        ),
    ] = Format.md,
    out: Annotated[Path | None, typer.Option(help="A file to write; default: stdout.")] = None,
    results: options.Results = None,
    published: Annotated[
        bool, typer.Option("--published", help="Put the papers' numbers beside the measured ones, mixed into nothing.")
    ] = False,
    baseline: Annotated[
        str | None, typer.Option(help="The method the others are tested against; default: scratch.", metavar="METHOD")
    ] = None,
    family: Annotated[
        Family, typer.Option(help="The tests that Holm's correction takes together: a column's, or the whole table's.")
    ] = Family.column,
    single_folds: Annotated[
        bool, typer.Option("--single-folds", help="A column for each fold of a cross-validation; default: one for all.")
    ] = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Two folders of results, before and after a change: what moved, with the test.", metavar="DIR_A DIR_B"
        ),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="A folder to write every picture to, as SVG or PNG.", metavar="DIR")
    ] = None,
    leave_out: Annotated[
        Path | None,
        typer.Option(
            "--leave-out",
            help="A text file with a test case a line: what every number would be without them.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Methods by paradigm as rows, task x protocol as columns, from the records alone.

    Example: ssl-bench report --format md --out leaderboard.md
    """
    if compare is not None:
        others = (results, published or None, baseline, pictures, single_folds or None, leave_out)
        if any(option is not None for option in others) or (format_, family) != (Format.md, Family.column):
            raise UserError("--compare DIR_A DIR_B: takes --out only; leave out the other options")
        text = _changes(*compare)
    else:
        text = _written(format_, results, published, baseline, family, pictures, single_folds, leave_out)
    if out is None:
        typer.echo(text, nl=False)
        return
    from ssl_bench.files import atomic_write

    with atomic_write(out) as temporary:
        temporary.write_text(text, "utf-8")
    typer.echo(f"{out}")


def _written(
    format_: Format,
    results: Path | None,
    published: bool,
    baseline: str | None,
    family: Family,
    pictures: Path | None,
    single_folds: bool,
    leave_out: Path | None,
) -> str:
    """The report of one results folder; its pictures go to the folder `pictures`."""
    if baseline is not None and format_ is Format.csv:
        raise UserError(f"--baseline {baseline}: the CSV of cells compares nothing; use --format statistics-csv or md")
    if family is Family.table and format_ is Format.csv:
        raise UserError("--family table: the CSV of cells compares nothing; use --format statistics-csv or md")
    if single_folds and format_ is Format.csv:
        raise UserError("--single-folds: the CSV of cells pools none; leave it out")
    if published and format_ in (Format.latex, Format.statistics_csv):
        raise UserError(
            f"--published: not in {format_.value}, where the numbers would pass for comparable; use --format md or csv"
        )
    from ssl_bench.report.cells_csv import write_csv
    from ssl_bench.report.latex import write_latex
    from ssl_bench.report.markdown import write_markdown
    from ssl_bench.store.store import results_folder

    store = _store(results_folder(results), "--results")
    if leave_out is not None:
        from ssl_bench.report.without_cases import WithoutCases, names_in

        store = WithoutCases(store, names_in(leave_out))
    if pictures is not None:
        from ssl_bench.report.pictures.writing import write_pictures

        typer.echo(f"{len(write_pictures(store, pictures, baseline, single_folds))} pictures in {pictures}", err=True)
    if format_ is Format.csv:
        return write_csv(store, published)
    if format_ is Format.statistics_csv:
        from ssl_bench.report.statistics_csv import write_statistics_csv

        return write_statistics_csv(store, baseline, family, single_folds)
    if format_ is Format.latex:
        return write_latex(store, baseline, family, single_folds)
    if format_ is Format.html:
        from ssl_bench.report.page import write_html

        return write_html(store, published, baseline, family, single_folds=single_folds)
    return write_markdown(store, published, baseline, family, single_folds)


def _changes(before: Path, after: Path) -> str:
    from ssl_bench.report.changes import write_changes

    return write_changes(_store(before, "--compare"), _store(after, "--compare"))


def _store(folder: Path, option: str) -> Store:
    from ssl_bench.store.store import Store

    if not folder.is_dir():
        raise UserError(f"{option} {folder}: no such folder; run ssl-bench run first, or name another")
    return Store(folder)
