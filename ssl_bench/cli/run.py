"""``run``, ``matrix`` and ``cell``: cells, one or many."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssl_bench.cli import options
from ssl_bench.cli.local import LocalExecution, local_execution
from ssl_bench.cli.matrix_file import read_matrix_file
from ssl_bench.cli.slurm import slurm_settings, submit_and_print
from ssl_bench.errors import UserError
from ssl_bench.registry import METHODS, PROTOCOLS, TASKS, resolve_protocol

if TYPE_CHECKING:
    from ssl_bench.cells.plan import Cell, Planner
    from ssl_bench.cells.record import AnyRecord
    from ssl_bench.datasets.sources import Sources
    from ssl_bench.engine.runtime import Runtime


def run(
    method: options.Method,
    task: options.Task,
    protocol: options.Protocols = "linear,finetune",
    seed: options.Seed = 0,
    preset: options.Preset = "quick",
    set_: options.Set = None,
    plugin: options.Plugin = None,
    results: options.Results = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    checkpointing: options.Checkpointing = False,
    checkpoint_seconds: options.CheckpointSeconds = 300.0,
    precision: options.PrecisionOption = None,
    anatomy: options.Anatomy = None,
    data_root: options.DataRoot = None,
    split: options.Split = None,
    fold: options.Fold = 0,
    label_fraction: options.LabelFraction = 1.0,
    corpus: options.Corpus = None,
    corpus_region: options.CorpusRegion = "",
    skip_problems: options.SkipProblems = False,
    allow_overlap: options.AllowOverlap = False,
    rerun: options.RerunOption = options.Rerun.missing,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Pre-train a method, evaluate it on a task, and keep the records.

    Example: ssl-bench run --method gvsl --task sbm
    """
    METHODS.check(method)
    protocols = names(protocol, "--protocol", PROTOCOLS.names)
    for name in protocols:
        resolve_protocol(name)
    (task,), sources = sources_of(
        [task], anatomy, data_root, split, corpus, corpus_region, skip_problems, allow_overlap
    )
    planner, runtime = plan_with(
        preset,
        set_,
        precision,
        sources,
        device,
        threads,
        checkpointing,
        fold,
        label_fraction,
        quiet,
        checkpoint_seconds,
    )
    cells = [planner.evaluation(method, task, name, seed) for name in protocols]
    run_and_print(cells, results, runtime, rerun, as_json, quiet)


def matrix(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE.toml", help="Options by their names.", callback=read_matrix_file, is_eager=True),
    ] = None,
    methods: Annotated[str, typer.Option(help="Comma-separated, or all.")] = "all",
    tasks: Annotated[str, typer.Option(help="Comma-separated, or all.")] = "all",
    protocols: options.Protocols = "linear,finetune",
    seeds: Annotated[str, typer.Option(help="Comma-separated, or a range such as 0-4.")] = "0",
    preset: options.Preset = "quick",
    set_: options.Set = None,
    plugin: options.Plugin = None,
    executor: options.Executor = "inline",
    devices: options.Devices = None,
    workers: options.Workers = None,
    retries: options.Retries = 1,
    cell_timeout: options.CellTimeout = None,
    slurm: options.Slurm = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and whether they are done.")] = False,
    results: options.Results = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    checkpointing: options.Checkpointing = False,
    checkpoint_seconds: options.CheckpointSeconds = 300.0,
    precision: options.PrecisionOption = None,
    anatomy: options.Anatomy = None,
    data_root: options.DataRoot = None,
    split: options.Split = None,
    fold: options.Fold = 0,
    label_fraction: options.LabelFraction = 1.0,
    corpus: options.Corpus = None,
    corpus_region: options.CorpusRegion = "",
    skip_problems: options.SkipProblems = False,
    allow_overlap: options.AllowOverlap = False,
    rerun: options.RerunOption = options.Rerun.missing,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run every combination of methods, tasks, protocols and seeds; each pre-training once.

    A TOML file may give the options by their names; those on the command line win.

    Example: ssl-bench matrix --methods gvsl,simsiam --tasks all --seeds 0-2
    """
    local = local_execution(executor, devices, workers, retries, cell_timeout, device, threads)
    on_slurm = slurm_settings(slurm, executor)
    asked = device
    if local:
        device = local.slots[0].device
    elif on_slurm:
        # The machine that submits says nothing about the nodes. Whose GPUs have no bf16 asks for --precision float32.
        device = "cpu"
        if on_slurm.gpus and precision in (None, options.Precision.auto):
            precision = options.Precision.bf16
    chosen_methods = names(methods, "--methods", lambda: options.usable_names(METHODS))
    chosen_tasks = names(tasks, "--tasks", lambda: options.usable_names(TASKS))
    chosen_protocols = names(protocols, "--protocols", PROTOCOLS.names)
    for name in chosen_methods:
        METHODS.check(name)
    for name in chosen_protocols:
        resolve_protocol(name)
    chosen_seeds = seed_list(seeds)
    chosen_tasks, sources = sources_of(
        chosen_tasks, anatomy, data_root, split, corpus, corpus_region, skip_problems, allow_overlap
    )
    planner, runtime = plan_with(
        preset,
        set_,
        precision,
        sources,
        device,
        threads,
        checkpointing,
        fold,
        label_fraction,
        quiet,
        checkpoint_seconds,
    )
    cells = [
        planner.evaluation(method, task, protocol, seed)
        for seed in chosen_seeds
        for method in chosen_methods
        for task in chosen_tasks
        for protocol in chosen_protocols
    ]
    if dry_run:
        print_plan(cells, results)
    elif executor == "plan":
        plan_and_print(cells, results)
    elif on_slurm:
        submit_and_print(cells, results, on_slurm, runtime, asked)
    else:
        run_and_print(cells, results, runtime, rerun, as_json, quiet, local)


def cell(
    key: Annotated[str, typer.Argument(help="A planned cell: 16 hexadecimal digits.")],
    results: options.Results = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    checkpointing: options.Checkpointing = False,
    checkpoint_seconds: options.CheckpointSeconds = 300.0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run one planned cell from the store; return at once if its record exists."""
    from ssl_bench.cells.store import Store, results_folder
    from ssl_bench.datasets.formats.own_tasks import register_own
    from ssl_bench.engine.runtime import resolve_runtime

    planned = Store(results_folder(results)).load_plan(key)
    options.load_plugins(list(planned.plugins))
    register_own(planned.sources)
    runtime = replace(resolve_runtime(device, threads, checkpointing), checkpoint_seconds=checkpoint_seconds)
    run_and_print([planned], results, runtime, options.Rerun.missing, as_json, quiet)


def plan_with(
    preset: str,
    overrides: list[str] | None,
    precision: options.Precision | None,
    sources: Sources,
    device: str,
    threads: int | None,
    checkpointing: bool,
    fold: int = 0,
    label_fraction: float = 1.0,
    quiet: bool = False,
    checkpoint_seconds: float = 300.0,
) -> tuple[Planner, Runtime]:
    """The planner and the runtime that the options ask for. Raises UserError for options that make no sense."""
    from ssl_bench.cells.plan import Planner
    from ssl_bench.datasets.user_data import UserData
    from ssl_bench.engine.progress import Progress
    from ssl_bench.engine.runtime import resolve_precision, resolve_runtime
    from ssl_bench.settings import load_preset

    loaded = load_preset(preset, overrides or [])
    runtime = replace(resolve_runtime(device, threads, checkpointing), checkpoint_seconds=checkpoint_seconds)
    resolved = resolve_precision(precision.value if precision else loaded.precision, runtime.device)
    track = Progress(shown=not quiet).track
    data = UserData(sources, loaded.data, fold, label_fraction, track, runtime.threads)
    return Planner(loaded, overrides or [], resolved, data), runtime


def sources_of(
    tasks: Sequence[str],
    anatomy: str | None = None,
    data_root: Path | None = None,
    split: Path | None = None,
    corpus: Path | None = None,
    corpus_region: str = "",
    skip_problems: bool = False,
    allow_overlap: bool = False,
) -> tuple[list[str], Sources]:
    """The names of `tasks`, those that a folder defines registered, and where everything lies.

    Raises UserError for an unknown task, a folder that is not there, or options that contradict each other.
    """
    from ssl_bench.datasets.formats.own_tasks import add_own, is_own
    from ssl_bench.datasets.sources import Sources

    names, roots, own = [], {}, {}
    with_reader = [task for task in tasks if not is_own(task)]
    for task in tasks:
        if is_own(task):
            name, own[name], roots[name] = add_own(task)
        else:
            TASKS.check(task)
            name = task
            if data_root is not None:
                roots[name] = data_folder(data_root, task, alone=len(with_reader) == 1)
        names.append(name)
    if anatomy and roots:
        raise UserError("--anatomy grows an embedded cohort and --data-root replaces it; leave one out")
    if split and len(roots) != 1:
        raise UserError(f"--split {split}: a split is of one data set; give one task with --data-root")
    if corpus is not None and not corpus.exists():
        raise UserError(f"--corpus {corpus}: no such folder or CSV")
    sources = Sources(
        anatomy=anatomy_files(anatomy),
        data_roots=roots,
        own_tasks=own,
        split=split and split.resolve(),
        corpus=corpus and corpus.resolve(),
        corpus_region=corpus_region,
        skip_problems=skip_problems,
        allow_overlap=allow_overlap,
    )
    return names, sources


def data_folder(root: Path, task: str, alone: bool) -> Path:
    """The folder of a task's data set: the one in `root` that bears its name, or `root` itself for one task alone."""
    named = root / task
    if named.is_dir():
        return named.resolve()
    if not root.is_dir():
        raise UserError(f"--data-root {root}: no such folder")
    if not alone:
        raise UserError(f"--data-root {root}: has no folder {task!r}; several tasks need a folder each")
    return root.resolve()


def run_and_print(
    cells: Sequence[Cell],
    results: Path | None,
    runtime: Runtime,
    rerun: options.Rerun,
    as_json: bool,
    quiet: bool,
    local: LocalExecution | None = None,
) -> None:
    """Run `cells`, print how they ended, exit 1 if one failed."""
    from ssl_bench.cells.store import Store, results_folder
    from ssl_bench.engine.inline import run_cells
    from ssl_bench.engine.live import LiveView
    from ssl_bench.engine.local import run_local
    from ssl_bench.engine.progress import Progress

    store = Store(results_folder(results))
    if local:
        view = LiveView([slot.name for slot in local.slots], shown=not quiet)
        records = run_local(cells, store, runtime, local.slots, view, rerun.value, local.limits)
    else:
        records = run_cells(cells, store, runtime, Progress(shown=not quiet), rerun.value)
    if as_json:
        typer.echo(json.dumps([record.model_dump(mode="json") for record in records], indent=1))
    else:
        print_records(records)
    if any(record.status == "failed" for record in records):
        raise typer.Exit(1)


def print_records(records: Sequence[AnyRecord]) -> None:
    """One line a record on stdout, and what the numbers mean."""
    from ssl_bench.cells.record import EvaluationRecord
    from ssl_bench.engine.inline import outcome

    for record in records:
        place = f"{record.science.task:5} {record.science.protocol:12} " if isinstance(record, EvaluationRecord) else ""
        typer.echo(f"{record.science.method:16} {place}seed {record.science.seed}  {outcome(record)}  [{record.key}]")
    if any(record.data.startswith("semi-real") for record in records):
        typer.echo("Scores are on semi-real data grown from one anatomy: not comparable with any paper's.")


def plan_and_print(cells: Sequence[Cell], results: Path | None) -> None:
    """Write the plans, from which ``ssl-bench cell KEY`` runs each, and print the keys of what is not done."""
    from ssl_bench.cells.store import Store, results_folder
    from ssl_bench.engine.inline import plan_all

    store = Store(results_folder(results))
    graph, done = plan_all(cells, store, "missing")
    for planned in graph:
        if planned.key not in done:
            typer.echo(planned.key)


def print_plan(cells: Sequence[Cell], results: Path | None) -> None:
    """The cells with their pre-trainings, in order, which of them are done, and what the others will cost."""
    from ssl_bench.cells.estimate import estimate
    from ssl_bench.cells.store import Store, results_folder
    from ssl_bench.engine.inline import with_pretrainings

    store = Store(results_folder(results))
    graph = with_pretrainings(cells)
    left = [cell for cell in graph if not store.has_succeeded(cell)]
    keys = {cell.key for cell in left}
    for planned in graph:
        typer.echo(f"{planned.key}  {'to do' if planned.key in keys else 'done':5}  {planned.title}")
    typer.echo(f"{len(graph)} cells, {len(graph) - len(left)} done")
    if not left:
        return
    expected = estimate(left, store.records())
    if expected.unjudged == len(left):
        typer.echo("device-hours: nothing to estimate from; no cell of this setting has ended yet")
    else:
        unknown = f", and {expected.unjudged} cells unlike any that ended" if expected.unjudged else ""
        typer.echo(f"about {expected.hours:.2g} device-hours{unknown}, judged by the records of this setting")


def names(text: str, option: str, everything: Callable[[], list[str]] | None = None) -> list[str]:
    """A comma-separated option as a list without repetitions; `all` is `everything`."""
    if text == "all" and everything:
        return everything()
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise UserError(f"{option} is empty; name at least one")
    return found


def seed_list(text: str) -> list[int]:
    """``0,1,2`` or ``0-4`` as numbers."""
    seeds: list[int] = []
    for part in names(text, "--seeds"):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise UserError(f"--seeds {text}: expected numbers such as 0,1,2 or a range such as 0-4")
        seeds += range(int(first), int(last if dash else first) + 1)
    return list(dict.fromkeys(seeds))


def anatomy_files(text: str | None) -> tuple[Path, Path] | None:
    """``IMAGE,LABELS`` as two existing files."""
    if text is None:
        return None
    paths = [Path(part).resolve() for part in text.split(",")]
    if len(paths) != 2:
        raise UserError(f"--anatomy {text}: expected IMAGE,LABELS, two NIfTI files")
    for path in paths:
        if not path.is_file():
            raise UserError(f"--anatomy {path}: no such file; give two NIfTI files, IMAGE,LABELS")
    return paths[0], paths[1]
