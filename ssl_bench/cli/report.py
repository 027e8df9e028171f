"""``report``: tables from the records."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ssl_bench.cli import options
from ssl_bench.errors import UserError


class Format(StrEnum):
    """Of the report."""

    md = "md"
    csv = "csv"


def report(
    format_: Annotated[Format, typer.Option("--format", help="Markdown to read, CSV to compute with.")] = Format.md,
    out: Annotated[Path | None, typer.Option(help="A file to write; default: stdout.")] = None,
    results: options.Results = None,
    published: Annotated[
        bool, typer.Option("--published", help="Put the papers' numbers beside the measured ones, mixed into nothing.")
    ] = False,
) -> None:
    """Methods by paradigm as rows, task x protocol as columns, from the records alone.

    Example: ssl-bench report --format md --out leaderboard.md
    """
    from ssl_bench.cells.store import Store, results_folder
    from ssl_bench.files import atomic_write
    from ssl_bench.report.tables import write_csv, write_markdown

    folder = results_folder(results)
    if not folder.is_dir():
        raise UserError(f"--results {folder}: no such folder; run ssl-bench run first, or name another")
    store = Store(folder)
    text = write_markdown(store, published) if format_ is Format.md else write_csv(store, published)
    if out is None:
        typer.echo(text, nl=False)
        return
    with atomic_write(out) as temporary:
        temporary.write_text(text, "utf-8")
    typer.echo(f"{out}")
