"""``matrix``: every combination of methods, backbones, tasks, protocols, folds and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssl_bench.api.registry import BACKBONES, METHODS, PROTOCOLS, resolve_protocol
from ssl_bench.api.shift import resolve_shifts
from ssl_bench.cli import options
from ssl_bench.cli.matrix_file import read_matrix_file
from ssl_bench.cli.option_groups import (
    CorpusData,
    PretrainingExecution,
    Resolution,
    Scheduling,
    Start,
    TaskData,
    check_network,
    with_groups,
)
from ssl_bench.cli.planning import (
    all_tasks,
    check_rows,
    check_start,
    further_asked,
    locations_of,
    names,
    placed,
    plan_with,
    without_impossible,
    without_pointless,
)
from ssl_bench.cli.running import run_and_print
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.data.sources import DataSources
    from ssl_bench.spec.cell import Cell
    from ssl_bench.store.store import Store


@with_groups
def matrix(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE.toml", help="Options by their names.", callback=read_matrix_file, is_eager=True),
    ] = None,
    methods: Annotated[str, typer.Option(help="Comma-separated, or all.")] = "all",
    backbones: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="The networks, comma-separated, or all: see ssl-bench backbones; default: the preset's.",
        ),
    ] = None,
    tasks: Annotated[str, typer.Option(help="Comma-separated, or all.")] = "all",
    protocols: options.Protocols = "linear,finetune",
    seeds: Annotated[str, typer.Option(help="Comma-separated, or a range such as 0-4.")] = "0",
    folds: Annotated[
        str,
        typer.Option(
            metavar="0-4|all",
            show_default=False,
            help="Of the split: numbers, a range or all, which is what is taken where folds were dealt.",
        ),
    ] = "",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the cells and whether they are done, under --executor slurm the sbatch files too; run nothing.",
        ),
    ] = False,
    start: Start,
    resolution: Resolution,
    scheduling: Scheduling,
    execution: PretrainingExecution,
    data: TaskData,
    corpus_data: CorpusData,
    skip_problems: options.SkipProblems = False,
    store: options.StoreOption = None,
    reset: options.ResetOption = options.Reset.none,
    shifts: options.Shifts = "",
    snapshots: options.Snapshots = None,
    rerun: options.RerunOption = options.Rerun.missing,
) -> None:
    """Run every combination of methods, backbones, tasks, protocols, folds and seeds; each pre-training once.

    A TOML file may give the options by their names; those on the command line win.

    Example: ssl-bench matrix --methods gvsl,simsiam --tasks all --seeds 0-2
    """
    from ssl_bench.executors.cells.work import Work
    from ssl_bench.planning.measurements import with_controls

    asked = resolve_shifts(shifts)
    executor, execution, resolution = placed(scheduling, execution, resolution)
    chosen_methods = names(methods, "--methods", lambda: options.usable_names(METHODS))
    chosen_protocols = names(protocols, "--protocols", PROTOCOLS.newest_names)
    check_rows(chosen_methods)
    check_start(start, chosen_methods, "--methods")
    for name in chosen_protocols:
        resolve_protocol(name)
    chosen_networks = names(backbones, "--backbones", BACKBONES.names) if backbones is not None else []
    for name in chosen_networks:
        check_network(name, "--backbones")
    chosen_seeds = number_list(seeds, "--seeds")
    if folds and data.fold:
        raise UserError(f"--fold {data.fold}: --folds {folds} says it already; leave one out")
    chosen_tasks = names(tasks, "--tasks", lambda: all_tasks(resolution))
    chosen_tasks, locations = locations_of(chosen_tasks, data, corpus_data, skip_problems, store)
    planner, runtime = plan_with(resolution, execution, locations, data.fold, data.label_fraction, data.stem, start)
    chosen_folds = {task: fold_list(folds, planner.data, task) for task in chosen_tasks}
    planners = {name: planner.on_backbone(name) for name in chosen_networks or [planner.preset.backbone]}
    cells = [
        planners[network].evaluation(method, task, protocol, seed, reset.value, fold=fold)
        for seed in chosen_seeds
        for method, network in without_impossible(chosen_methods, list(planners), planner.start)
        for task in chosen_tasks
        for protocol in chosen_protocols
        for fold in chosen_folds[task]
    ]
    cells = further_asked(with_controls(without_pointless(cells), planner), asked, snapshots)
    if dry_run:
        print_plan(cells, execution.store())
        if text := executor.dry_run(Work(cells, execution.store(), runtime)):
            typer.echo(text)
    else:
        run_and_print(cells, execution, runtime, rerun, executor)


def print_plan(cells: Sequence[Cell], store: Store) -> None:
    """The cells with their pre-trainings, in order, which of them are done, and what the others will cost."""
    from ssl_bench.planning.estimate import estimate
    from ssl_bench.planning.graph import with_pretrainings

    graph = with_pretrainings(cells)
    left = [cell for cell in graph if not store.has_succeeded(cell)]
    keys = {cell.key for cell in left}
    lines = [f"{cell.key}  {'to do' if cell.key in keys else 'done':5}  {cell.title}" for cell in graph]
    typer.echo("\n".join([*lines, f"{len(graph)} cells, {len(graph) - len(left)} done"]))
    if not left:
        return
    expected = estimate(left, store.records())
    if expected.unjudged == len(left):
        typer.echo("device-hours: nothing to estimate from; no cell of this setting has ended yet")
    else:
        unknown = f", and {expected.unjudged} cells unlike any that ended" if expected.unjudged else ""
        typer.echo(f"about {expected.hours:.2g} device-hours{unknown}, judged by the records of this setting")


def fold_list(text: str, data: DataSources, task: str) -> list[int]:
    """The folds of `task` that ``--folds`` names; where it is empty, all if they were dealt, else the one of --fold."""
    if not text:
        return data.folds_to_run(task)
    return list(range(data.task(task).folds)) if text == "all" else number_list(text, "--folds")


def number_list(text: str, option: str) -> list[int]:
    """``0,1,2`` or ``0-4`` as numbers."""
    numbers: list[int] = []
    for part in names(text, option):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise UserError(f"{option} {text}: expected numbers such as 0,1,2 or a range such as 0-4")
        numbers += range(int(first), int(last if dash else first) + 1)
    return list(dict.fromkeys(numbers))
