"""``status``: how the planned cells stand."""

from __future__ import annotations

import json
from typing import get_args

import typer

from ssl_bench.api.registry import EXECUTORS
from ssl_bench.cli import options
from ssl_bench.errors import UserError


def status(results: options.Results = None, as_json: options.Json = False) -> None:
    """How every planned cell stands: done, running, queued, interrupted, failed or to do.

    Told from files, and by executors with a queue, such as SLURM's; no scheduler needs to be alive. Cells that
    are done or to do are counted; the others are listed with who works on them, their job, or why they failed.

    Example: ssl-bench status --results results
    """
    from ssl_bench.store.status import State, status_of
    from ssl_bench.store.store import Store, results_folder

    folder = results_folder(results)
    if not folder.is_dir():
        raise UserError(f"--results {folder}: no such folder; run ssl-bench run first, or name another")
    store = Store(folder)
    jobs: dict[str, object] = {}
    for name in options.usable_names(EXECUTORS):
        try:
            jobs |= EXECUTORS.load(name).queued(folder)
        except UserError as error:
            typer.echo(f"ssl-bench: {error}; told from the records alone", err=True)
    cells = status_of(store, jobs)
    if as_json:
        typer.echo(json.dumps([cell.model_dump() for cell in cells], indent=1))
        return
    for cell in cells:
        if cell.detail:
            typer.echo(f"{cell.key}  {cell.state:11}  {cell.title}: {cell.detail}")
    counts = {state: sum(cell.state == state for cell in cells) for state in get_args(State)}
    typer.echo(f"{len(cells)} cells: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
