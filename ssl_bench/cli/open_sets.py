"""``data sets`` and ``data fetch``: open data sets by name."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssl_bench.cli import options
from ssl_bench.cli.listings import aligned
from ssl_bench.data.open_sets.registry import open_set, open_sets
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.data.open_sets.declaration import OpenSet
    from ssl_bench.data.open_sets.downloading import Advance

LAID_AS = {"nnunet": "segmentation", "folder": "classification", "corpus": "corpus"}


def complete_open_set(incomplete: str) -> list[str]:
    """Names of open data sets for the shell."""
    return [name for name in open_sets() if name.startswith(incomplete)]


def sets(as_json: options.Json = False) -> None:
    """The open data sets that fetch knows: size, licence, what each is good for, what is known to be wrong with it."""
    declared = list(open_sets().values())
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in declared], indent=1))
        return
    header = ("name", "as", "modality", "cases", "download", "on disk", "licence")
    table = aligned([header, *map(_row, declared)]).splitlines()
    typer.echo(table[0])
    for each, line in zip(declared, table[1:], strict=True):
        typer.echo(line)
        typer.echo(f"    good for {each.good_for}")
        for known in each.known:
            typer.echo(f"    known: {known}")


def fetch(
    name: Annotated[
        str, typer.Argument(help="A name that ssl-bench data sets lists.", autocompletion=complete_open_set)
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder that gets the data set's folder.")],
    mirror: Annotated[str, typer.Option(metavar="URL", help="Another server that has the files by their names.")] = "",
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read the licence and keep to it.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Download an open data set and lay it as a task or a corpus; goes on where it was interrupted.

    Example: ssl-bench data fetch msd-hippocampus --to data --accept-licence
    """
    from ssl_bench.data.open_sets.fetching import fetch as fetch_set
    from ssl_bench.data.open_sets.fetching import is_fetched

    chosen = open_set(name)
    if mirror and not mirror.startswith(("http://", "https://")):
        raise UserError(f"--mirror {mirror}: is no URL; give one that begins with http:// or https://")
    if is_fetched(chosen, to):
        typer.echo(f"{to / chosen.folder}: is there already, whole")
    else:
        _require_licence(chosen, accept_licence)
        fetch_set(chosen, to, mirror, lambda title: _bytes(title, not quiet), lambda line: typer.echo(line, err=True))
        typer.echo(f"{to / chosen.folder}: {chosen.title}, {chosen.licence}")
    typer.echo("\n".join(["go on with:", *(f"  {line}" for line in commands(chosen, to / chosen.folder))]))


def commands(chosen: OpenSet, folder: Path) -> list[str]:
    """What looks at the data set in `folder`, and what works with it."""
    settings = [part for setting in chosen.settings for part in ("--set", setting)]
    place = ["corpus", "--data-root", str(folder)] if chosen.laid_as == "corpus" else [f"{chosen.laid_as}:{folder}"]
    more = [option.format(folder=folder) for option in chosen.options]
    run = ["--task", f"{chosen.laid_as}:{folder}", *more]
    if chosen.laid_as == "corpus":
        run = ["--task", "sbm" if "MR" in chosen.modality else "shc", "--corpus", str(folder)]
    return [
        shlex.join(["ssl-bench", "data", "check", *place, *settings]),
        shlex.join(["ssl-bench", "run", "--method", "gvsl", *run, *settings]),
    ]


def _require_licence(chosen: OpenSet, accepted: bool) -> None:
    """Show the licence; raise UserError unless it is accepted."""
    use = "for non-commercial use alone" if chosen.non_commercial else "commercial use included"
    size = f"{chosen.download_gb:g} GB to download, at most {chosen.disk_gb:g} GB on disk"
    typer.echo(f"{chosen.title}: licence {chosen.licence} ({use}); {chosen.source}; {size}", err=True)
    if accepted:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{chosen.name}: its licence is {chosen.licence}; give --accept-licence once you have read it")
    if not typer.confirm("Do you accept it?", err=True):
        raise UserError(f"{chosen.name}: the licence is not accepted; nothing was downloaded")


def _row(each: OpenSet) -> tuple[str, ...]:
    licence = each.licence + (" (non-commercial)" if each.non_commercial else "")
    sizes = (f"{each.download_gb:g} GB", f"{each.disk_gb:g} GB")
    return (each.name, LAID_AS[each.laid_as], each.modality, cases_of(each), *sizes, licence)


def cases_of(each: OpenSet) -> str:
    """How many cases of how many people, as far as that is known."""
    if each.subjects is None or each.subjects == each.cases:
        return f"{each.cases}" if each.subjects else f"{each.cases} of ?"
    return f"{each.cases} of {each.subjects}"


def _as_json(each: OpenSet) -> dict[str, Any]:
    """Every fact; not how it is done."""
    facts = {field.name: getattr(each, field.name) for field in dataclasses.fields(each)}
    return {name: value for name, value in facts.items() if not callable(value)}


@contextmanager
def _bytes(title: str, shown: bool) -> Iterator[Advance]:
    """A progress bar of bytes on stderr, with the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as bars:
        task = bars.add_task(title, total=None)
        yield lambda have, whole: bars.update(task, completed=have, total=whole)
