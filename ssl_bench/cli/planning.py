"""From options to a planner: names, where the data lie, settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ssl_bench.api.controls import CONTROL_PREFIX, CONTROL_ROWS
from ssl_bench.api.registry import METHODS, TASKS
from ssl_bench.cli import options
from ssl_bench.cli.option_groups import (
    CorpusData,
    Execution,
    PretrainingExecution,
    Resolution,
    Scheduling,
    Start,
    TaskData,
)
from ssl_bench.cli.options import Precision, Strategy
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.api.executor import Executor
    from ssl_bench.planning.planner import Planner
    from ssl_bench.spec.cell import Cell
    from ssl_bench.spec.locations import Locations
    from ssl_bench.training.runtime import Runtime
    from ssl_bench.weights.located import Located

NO_DATA, NO_CORPUS, RANDOM_START = TaskData(), CorpusData(), Start()
"""The embedded cohort and corpus, and the start that a seed draws."""


def plan_with(
    resolution: Resolution,
    execution: Execution,
    locations: Locations,
    fold: int = 0,
    label_fraction: float = 1.0,
    stem: options.Stem = options.Stem.none,
    start: Start = RANDOM_START,
) -> tuple[Planner, Runtime]:
    """The planner and the runtime that the options ask for. Raises UserError for options that make no sense."""
    from ssl_bench.api.settings import load_preset
    from ssl_bench.data.sources import DataSources
    from ssl_bench.planning.planner import Planner
    from ssl_bench.training.progress import Progress
    from ssl_bench.training.runtime import resolve_precision

    overrides, asked = resolution.set_ or [], resolution.precision
    loaded = load_preset(resolution.preset, overrides, resolution.tuned)
    runtime = execution.runtime()
    precision = resolve_precision(asked.value if asked else loaded.precision, runtime.device)
    track = Progress(shown=not execution.quiet).track
    data = DataSources(
        locations,
        loaded.cohort,
        loaded.data,
        fold,
        label_fraction,
        track,
        runtime.threads,
        warn,
        loaded.sizing,
        lambda line: typer.echo(f"sized by the data: {line}", err=True),
    )
    return Planner(loaded, overrides, precision, data, stem.value, _located(start, execution)), runtime


def _located(start: Start, execution: Execution) -> Located | None:
    """The weights that pre-trainings start from, told of on stderr; None for the seed's."""
    from ssl_bench.training.progress import Progress
    from ssl_bench.weights.located import locate

    if start.init is None:
        if start.init_weights or start.trained_on:
            raise UserError("--init-weights and --trained-on are of a file; give it with --init")
        return None
    say = Progress(shown=not execution.quiet).say
    found = locate(start.init, say, start.init_weights, start.trained_on)
    if found.backbone.contract.changes:
        say(
            f"{found.backbone.name}: pre-training goes on with volumes as they are here, not as these weights knew them"
        )
    return found


def placed(
    scheduling: Scheduling, execution: PretrainingExecution, resolution: Resolution
) -> tuple[Executor, PretrainingExecution, Resolution]:
    """The executor, and the options with the devices and the precision that it plans cells for.

    Raises UserError for options that contradict each other or the machine.
    """
    executor = scheduling.chosen(execution.asked(resolution.precision))
    on = executor.planned_on()
    execution = replace(
        execution, device=on.device, devices=on.devices, strategy=Strategy(on.strategy), threads=on.threads
    )
    return executor, execution, replace(resolution, precision=Precision(on.precision) if on.precision else None)


def check_start(start: Start, methods: Sequence[str], option: str) -> None:
    """Raise UserError where ``--init`` would change nothing, since none of `methods`, which `option` names, trains."""
    from ssl_bench.planning.pairs import pre_trains

    if start.init is None or any(map(pre_trains, methods)):
        return
    raise UserError(
        f"--init {start.init}: nothing is pre-trained by {option} {','.join(methods)}; to measure these weights as "
        f"they are: ssl-bench evaluate --backbone {start.init}"
    )


def warn(line: str) -> None:
    """Say what may be meant and probably is not, however quiet the progress is."""
    typer.echo(f"warning: {line}", err=True)


def all_tasks(resolution: Resolution) -> list[str]:
    """What ``--tasks all`` means under the preset; on stderr, what it leaves out."""
    from ssl_bench.api.settings import load_preset

    preset = load_preset(resolution.preset, resolution.set_ or [], resolution.tuned)
    for task, reason in preset.not_in_all.items():
        typer.echo(f"--tasks all leaves out {task} under preset {preset.name}: {reason}; name it to run it", err=True)
    return [name for name in options.usable_names(TASKS) if name not in preset.not_in_all]


def without_pointless(cells: Sequence[Cell]) -> list[Cell]:
    """`cells` without those that their protocol cannot score, or in which ``--reset`` changes nothing; says which.

    Raises UserError if none is left.
    """
    from ssl_bench.planning.measurements import measurable
    from ssl_bench.planning.resetting import with_a_question

    cells, unmeasured = measurable(cells)
    for reason in unmeasured:
        typer.echo(f"left out: {reason}", err=True)
    kept, reasons = with_a_question(cells)
    for reason in reasons:
        typer.echo(f"--reset leaves out: {reason}", err=True)
    return kept


def further_asked(cells: Sequence[Cell], shifts: Sequence[str], snapshots: int | None = None) -> list[Cell]:
    """`cells`, evaluations, under ``--shifts`` (versioned names) and along ``--snapshots``, where those are asked for.

    Says which stay without shifts.

    Raises UserError for a number of snapshots that a pre-training cannot give.
    """
    from ssl_bench.planning.shifting import under_shifts
    from ssl_bench.planning.snapshots import along_snapshots

    found, unshifted = under_shifts(along_snapshots(cells, snapshots), shifts)
    for reason in unshifted:
        typer.echo(f"--shifts leaves cells as they are: {reason}", err=True)
    return found


def check_rows(methods: Sequence[str]) -> None:
    """Raise UserError for a name that is neither a method nor a control."""
    for name in methods:
        if name not in CONTROL_ROWS and name.startswith(CONTROL_PREFIX):
            raise UserError(f"unknown control {name!r}; known: {', '.join(CONTROL_ROWS)}")
        if name not in CONTROL_ROWS:
            METHODS.check(name)


def without_impossible(methods: Sequence[str], backbones: Sequence[str], start: str = "") -> list[tuple[str, str]]:
    """Pairs of method and backbone that work; on stderr, which do not and why. Raises UserError if none is left.

    `start` is the network whose weights pre-trainings start from; empty for the seed's.
    """
    from ssl_bench.planning.pairs import possible_pairs

    kept, reasons = possible_pairs(methods, backbones, start)
    for reason in reasons:
        typer.echo(f"left out: {reason}", err=True)
    return kept


def locations_of(
    tasks: Sequence[str],
    data: TaskData = NO_DATA,
    corpus: CorpusData = NO_CORPUS,
    skip_problems: bool = False,
    store: options.StoreChoice | None = None,
) -> tuple[list[str], Locations]:
    """The names of `tasks`, those that a folder defines registered, and where everything lies.

    Raises UserError for an unknown task, a folder that is not there, or options that contradict each other.
    """
    from ssl_bench.data.layouts.own_tasks import add_own, is_own
    from ssl_bench.spec.locations import Locations

    names, roots, own = [], {}, {}
    with_reader = [task for task in tasks if not is_own(task)]
    for task in tasks:
        if is_own(task):
            name, own[name], roots[name] = add_own(task)
        else:
            TASKS.check(task)
            name = task
            if data.data_root is not None:
                roots[name] = data_folder(data.data_root, task, alone=len(with_reader) == 1)
        names.append(name)
    if data.anatomy and roots:
        raise UserError("--anatomy grows an embedded cohort and --data-root replaces it; leave one out")
    if data.split and len(roots) != 1:
        raise UserError(f"--split {data.split}: a split is of one data set; give one task with --data-root")
    if 0 < data.cross_validation < 3 or (data.cross_validation and data.split):
        instead = (
            "--split names folds already; leave one out"
            if data.split
            else "use 3 folds or more: one to test, one to validate"
        )
        raise UserError(f"--cross-validation {data.cross_validation}: {instead}")
    if data.subjects and len(roots) != 1:
        raise UserError(f"--subjects {data.subjects}: is about one data set; give one task with --data-root")
    if corpus.corpus is not None and not corpus.corpus.exists():
        raise UserError(f"--corpus {corpus.corpus}: no such folder or CSV")
    locations = Locations(
        anatomy=anatomy_files(data.anatomy),
        data_roots=roots,
        own_tasks=own,
        split=data.split and data.split.resolve(),
        cross_validation=data.cross_validation,
        subjects=subjects_said(data.subjects),
        corpus=corpus.corpus and corpus.corpus.resolve(),
        corpus_region=corpus.corpus_region,
        take_labels=corpus.take_labels,
        skip_problems=skip_problems,
        store=options.image_store(store),
        allow_overlap=corpus.allow_overlap,
    )
    return names, locations


def subjects_said(text: str | None) -> str:
    """``--subjects``: a pattern as it is, a CSV by its whole path."""
    if text is None:
        return ""
    if not text:
        raise UserError("--subjects is empty; give a pattern such as 'patient\\d+', or a CSV")
    return str(Path(text).resolve()) if text.lower().endswith(".csv") else text


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


def names(text: str, option: str, everything: Callable[[], list[str]] | None = None) -> list[str]:
    """A comma-separated option as a list without repetitions; `all` is `everything`."""
    if text == "all" and everything:
        return everything()
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise UserError(f"{option} is empty; name at least one")
    return found


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
