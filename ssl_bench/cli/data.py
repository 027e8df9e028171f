"""``data``: the volumes themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl_bench.cli import options
from ssl_bench.cli.run import anatomy_files
from ssl_bench.errors import UserError
from ssl_bench.registry import TASKS

app = typer.Typer(help="Look at the volumes of a task.", rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Look at the volumes of a task."""


@app.command()
def show(
    task: Annotated[str, typer.Argument(help="A task, or corpus.", autocompletion=options.complete_task)],
    out: Annotated[Path, typer.Option(help="The PNG file to write.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    cases: Annotated[int, typer.Option(min=1, max=12, help="How many volumes.")] = 3,
    preset: options.Preset = "quick",
    set_: options.Set = None,
    plugin: options.Plugin = None,
    anatomy: options.Anatomy = None,
) -> None:
    """Write a picture of mid-slices with the contours of the labels.

    Example: ssl-bench data show shc --out shc.png
    """
    if task != "corpus":
        TASKS.check(task)
    if split not in ("train", "validation", "test"):
        raise UserError(f"--split {split}: use train, validation or test")
    options.check_output(out, "PNG file")

    from ssl_bench.cohort.picture import draw_cases
    from ssl_bench.data import corpus_cases, data_science, load_cases
    from ssl_bench.settings import load_preset

    cohort = load_preset(preset, set_ or []).cohort
    if task == "corpus":
        draw_cases(corpus_cases(cohort)[:cases], "The unlabelled corpus", (), out)
    else:
        files = anatomy_files(anatomy)
        facts = TASKS.load(task).facts
        found = load_cases(task, data_science(task, cohort, files), split, files)  # type: ignore[arg-type]
        draw_cases(found[:cases], f"{facts.title}, {split}", facts.classes, out)
    typer.echo(f"{out}: semi-real volumes, grown from one anatomy")
