"""``data``: the volumes themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ssl_bench.api.registry import TASKS
from ssl_bench.cli import open_sets, options
from ssl_bench.cli.option_groups import CorpusData, TaskData
from ssl_bench.cli.planning import locations_of, warn
from ssl_bench.data.doubts import doubt_lines, named
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ssl_bench.api.cases import Problem, SourceCase
    from ssl_bench.data.folder_source import FolderSource
    from ssl_bench.data.preprocessing.arrays import CaseReport
    from ssl_bench.data.preprocessing.channels import ChannelReport
    from ssl_bench.data.source import DataSource
    from ssl_bench.training.progress import Progress

app = typer.Typer(
    help="Check, prepare, split and look at the volumes of a task; fetch open data sets.", rich_markup_mode=None
)
app.command("sets")(open_sets.sets)
app.command("fetch")(open_sets.fetch)

TaskName = Annotated[
    str,
    typer.Argument(
        help="A task, corpus, or nnunet:DIR, folder:DIR for a data set of your own.",
        autocompletion=options.complete_task,
    ),
]
Root = Annotated[Path | None, typer.Option("--data-root", metavar="DIR", help="The data set's folder.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; default: all usable cores.")]


@app.callback()
def data() -> None:
    """Check, prepare, split and look at the volumes of a task; fetch open data sets."""


@app.command()
def check(
    task: TaskName,
    data_root: Root = None,
    preset: options.Preset = "quick",
    set_: options.Set = None,
    plugin: options.Plugin = None,
    subjects: options.Subjects = None,
    take_labels: options.TakeLabels = False,
    workers: Workers = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List every case with what it holds, and every problem by file; exit 2 if there is one. Changes nothing.

    Example: ssl-bench data check shc --data-root MM-WHS
    """
    from ssl_bench.data.checking import absent_values
    from ssl_bench.data.checking import check as check_cases
    from ssl_bench.data.layouts.table_labels import unlikely_numbers

    folder = _open(task, data_root, preset, set_, take_labels, subjects)
    with _progress(quiet).track(f"checking {task}", len(folder.found.cases)) as advance:
        seen = check_cases(folder.found, folder.root, folder.preprocessing, folder.rule, _count(workers), advance)
    absent = absent_values(seen.reports, folder.rule)
    if as_json:
        listed = {
            what: [{"path": str(each.path), "reason": named(each.reason, folder.name)} for each in problems]
            for what, problems in (("problems", seen.problems), ("label_maps", seen.label_maps))
        }
        cases = [_as_json(report, folder.name) for report in seen.reports]
        typer.echo(json.dumps({"cases": cases, **listed, "absent_values": absent}, indent=1))
    else:
        facts = None if task == "corpus" else TASKS.load(folder.name).facts
        for line in _as_table(seen.reports, facts.classes if facts and facts.kind == "multi-class" else ()):
            typer.echo(line)
        typer.echo(f"usable cases: {len(seen.reports)}, problems: {len(seen.problems)}")
        if task != "corpus":
            typer.echo(_who_was_scanned(folder.found.cases))
        _list_label_maps(seen.label_maps)
        _list(seen.problems, folder.name)
        for line in doubt_lines(folder.name, {report.case.identifier: report.doubts for report in seen.reports}):
            warn(line)
        if unlikely := unlikely_numbers(report.case.label for report in seen.reports):
            warn(f"{task}: {unlikely}")
        if absent:
            values = ", ".join(map(str, absent))
            warn(f"{task}: no label holds a voxel of {values}, which the task names: such a class cannot be learnt")
    if seen.problems:
        raise typer.Exit(2)


@app.command()
def prepare(
    task: TaskName,
    data_root: Root = None,
    preset: options.Preset = "quick",
    set_: options.Set = None,
    plugin: options.Plugin = None,
    take_labels: options.TakeLabels = False,
    store: options.StoreOption = None,
    workers: Workers = None,
    quiet: options.Quiet = False,
) -> None:
    """Preprocess every case once into the cache, from which training reads windows; may be interrupted and repeated.

    Cases that cannot be used are listed and left out, and the exit status is 2. ssl-bench run prepares by itself.

    Example: ssl-bench data prepare shc --data-root MM-WHS --workers 8
    """
    from ssl_bench.data.folder_source import warnings_about
    from ssl_bench.data.layouts.label_names import label_maps_among
    from ssl_bench.data.preprocessing.prepared import prepare as prepare_cases

    folder = _open(task, data_root, preset, set_, take_labels)
    cases = folder.found.cases
    with _progress(quiet).track(f"preparing {task}", len(cases)) as advance:
        kept = options.image_store(store)
        prepared, bad = prepare_cases(cases, folder.preprocessing, folder.rule, _count(workers), advance, kept, warn)
    for case in prepared:
        for note in case.notes:
            typer.echo(f"{case.identifier}: {note}", err=True)
    label_maps, problems = label_maps_among(folder.found, bad, folder.root)
    typer.echo(f"{len(prepared)} of {len(cases) - len(label_maps) + len(folder.found.label_maps)} cases are ready")
    _list_label_maps(label_maps)
    _list(problems, folder.name)
    for line in warnings_about(prepared, folder.name):
        warn(line)
    if problems:
        raise typer.Exit(2)


@app.command()
def split(
    task: TaskName,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
    data_root: Root = None,
    subjects: options.Subjects = None,
    folds: Annotated[int, typer.Option(min=1, help="More than one: cross-validation.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the random deal.")] = 0,
    plugin: options.Plugin = None,
) -> None:
    """Write a split by patient, in the paper's counts, for --split; what run takes by itself with seed 0.

    It is one by case where nothing says who was scanned: --subjects does.

    Example: ssl-bench data split shc --data-root MM-WHS --folds 5 --out folds.json
    """
    from ssl_bench.data.folder_cases import FolderCases
    from ssl_bench.data.split_files import write_splits
    from ssl_bench.data.splits import make_splits

    options.check_output(out, "JSON file")
    folder = _open(task, data_root, "quick", None, subjects=subjects)
    if not isinstance(folder, FolderCases):
        raise UserError(f"{task}: has no labelled cases to split")
    _list(folder.found.problems, folder.name)
    splits = make_splits(task, folder.found.cases, folder.split_counts, folds, seed)
    write_splits(splits, out)
    sizes = [f"{len(fold.train)}/{len(fold.validation)}/{len(fold.test)}" for fold in splits.folds]
    typer.echo(f"{out}: {', '.join(sizes)} (train/validation/test), digest {splits.digest(0)}")
    typer.echo(f"{task}: {_who_was_scanned(folder.found.cases)}", err=True)


@app.command()
def show(
    task: TaskName,
    out: Annotated[Path, typer.Option(help="The PNG file to write.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    cases: Annotated[int, typer.Option(min=1, max=12, help="How many volumes.")] = 3,
    preset: options.Preset = "quick",
    set_: options.Set = None,
    plugin: options.Plugin = None,
    anatomy: options.Anatomy = None,
    data_root: Root = None,
    take_labels: options.TakeLabels = False,
    skip_problems: options.SkipProblems = False,
) -> None:
    """Write a picture of mid-slices with the contours of the labels.

    Example: ssl-bench data show shc --out shc.png
    """
    if split not in ("train", "validation", "test"):
        raise UserError(f"--split {split}: use train, validation or test")
    options.check_output(out, "PNG file")

    from ssl_bench.report.pictures.cases import draw_cases

    name, source = _chosen(task, TaskData(anatomy, data_root), preset, set_, take_labels, skip_problems)
    facts = None if name == "corpus" else TASKS.load(name).facts
    title, classes = (f"{facts.title}, {split}", facts.classes) if facts else ("The unlabelled corpus", ())
    found, real = source.load()[split if facts else "corpus"][:cases], source.describe().is_real
    draw_cases(found, title, classes, out, real, facts)
    typer.echo(f"{out}: {'real volumes, prepared' if real else 'semi-real volumes, grown from one anatomy'}")


def _open(
    task: str,
    data_root: Path | None,
    preset: str,
    set_: list[str] | None,
    take_labels: bool = False,
    subjects: str | None = None,
) -> FolderSource[Any]:
    """The folder of a task or of a corpus."""
    if data_root is None and ":" not in task:
        raise UserError(f"--data-root: name the folder of {task}; the embedded cohort needs no check")
    source = _chosen(task, TaskData(data_root=data_root, subjects=subjects), preset, set_, take_labels)[1]
    return cast("FolderSource[Any]", source)


def _chosen(
    task: str,
    data: TaskData,
    preset: str,
    set_: list[str] | None,
    take_labels: bool = False,
    skip_problems: bool = False,
) -> tuple[str, DataSource[Any]]:
    """The name and the volumes of a task, or of a corpus, for which `data` names a folder of scans."""
    from ssl_bench.api.settings import load_preset
    from ssl_bench.data.sources import DataSources

    if task == "corpus" and data.subjects:
        raise UserError(f"--subjects {data.subjects}: is about the cases of a task; leave it out")
    if task != "corpus" and take_labels:
        raise UserError(f"--take-labels: is about a corpus, and {task} is a task; leave it out")
    if task == "corpus":
        corpus = CorpusData(data.data_root, take_labels=take_labels)
        names, locations = locations_of([], TaskData(data.anatomy), corpus, skip_problems)
    else:
        names, locations = locations_of([task], data, skip_problems=skip_problems)
    loaded = load_preset(preset, set_ or [])
    track = _progress(False).track
    sources = DataSources(locations, loaded.cohort, loaded.data, track=track, warn=warn, sizing=loaded.sizing)
    return (names[0], sources.task(names[0])) if names else ("corpus", sources.corpus)


def _who_was_scanned(cases: Sequence[SourceCase]) -> str:
    patients = len({case.patient for case in cases})
    if all(case.patient_is_known for case in cases):
        return f"{len(cases)} cases of {patients} patients, split by patient"
    return "nothing says of every case who was scanned: split by case; --subjects REGEX|CSV says it"


def _as_json(report: CaseReport, name: str) -> dict[str, Any]:
    return {
        "identifier": report.case.identifier,
        "patient": report.case.patient,
        "patient_is_known": report.case.patient_is_known,
        "image": str(report.case.image),
        "label": report.case.label if isinstance(report.case.label, int | float) else str(report.case.label),
        "shape": report.shape,
        "spacing_mm": report.spacing_mm,
        "channels": [
            {
                "name": channel.name,
                "intensity": channel.intensity,
                "value_range": channel.value_range,
                "prepared": channel.contrast._asdict(),
            }
            for channel in report.channels
        ],
        "value_range": report.channels[0].value_range,
        "label_ml": report.label_ml,
        "prepared": report.channels[0].contrast._asdict(),
        "notes": [*report.notes, *(named(str(doubt), name) for doubt in report.doubts)],
    }


def _as_table(reports: Sequence[CaseReport], classes: Sequence[str]) -> Iterator[str]:
    """One line a case, in columns: shape and spacing are (D, H, W); `classes` are those of a volume, by its label."""
    rows = [("case", "shape", "spacing (mm)", "values", "labels (ml), or class")]
    for report in reports:
        label = report.case.label
        of_volume = (
            classes[label] if classes and isinstance(label, int) else "" if isinstance(label, Path) else str(label)
        )
        millilitres = ", ".join(f"{value}: {ml:.1f}" for value, ml in report.label_ml.items() if value)
        rows.append((
            report.case.identifier,
            " x ".join(map(str, report.shape)),
            " x ".join(f"{size:.3g}" for size in report.spacing_mm),
            "; ".join(map(_values, report.channels)),
            millilitres or of_volume,
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    notes = [(), *(report.notes for report in reports)]
    for row, said in zip(rows, notes, strict=True):
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        yield from (f"    {note}" for note in said)


def _values(channel: ChannelReport) -> str:
    """The range of a channel's values; of several with its name and its recipe."""
    low, high = channel.value_range
    return f"{channel.name} ({channel.intensity}) {low:g} to {high:g}" if channel.name else f"{low:g} to {high:g}"


def _list(problems: list[Problem], name: str) -> None:
    for problem in problems:
        typer.echo(f"{problem.path}: {named(problem.reason, name)}", err=True)


def _list_label_maps(label_maps: Sequence[Problem]) -> None:
    if label_maps:
        typer.echo(f"label maps, not scans: {len(label_maps)}, left out; --take-labels takes them as scans")
    for found in label_maps:
        typer.echo(f"    {found.path}: {found.reason}")


def _progress(quiet: bool) -> Progress:
    from ssl_bench.training.progress import Progress

    return Progress(shown=not quiet)


def _count(workers: int | None) -> int:
    from ssl_bench.training.runtime import usable_cores

    return workers or usable_cores()
