"""``pretrain`` and ``evaluate``: a backbone out to a file, and in from one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from ssl_bench.api.registry import METHODS, PROTOCOLS, TASKS, resolve_protocol
from ssl_bench.api.shift import resolve_shifts
from ssl_bench.cli import options
from ssl_bench.cli.option_groups import (
    CorpusData,
    Execution,
    PretrainingExecution,
    Resolution,
    Start,
    TaskData,
    with_groups,
)
from ssl_bench.cli.planning import further_asked, locations_of, names, plan_with, without_pointless
from ssl_bench.cli.running import run_and_print, warn_of_collapse
from ssl_bench.errors import UserError

ACCEPTED = (
    "A file, or hf:ORG/NAME@REVISION[:FILE] of a hub: weights of ssl-bench, GVSL, Models Genesis, nnssl or Swin UNETR, "
    "as safetensors or a torch file of plain tensors."
)


@with_groups
def pretrain(
    *,
    method: options.Method,
    out: Annotated[Path, typer.Option(help="Where to write the backbone, as safetensors.")],
    backbone: options.Network = None,
    seed: options.Seed = 0,
    start: Start,
    resolution: Resolution,
    execution: PretrainingExecution,
    corpus: options.Corpus = None,
    take_labels: options.TakeLabels = False,
    skip_problems: options.SkipProblems = False,
    store: options.StoreOption = None,
    snapshots: options.Snapshots = None,
) -> None:
    """Pre-train a method and write its backbone; the store keeps it too, so that cells of the same spec share it.

    Example: ssl-bench pretrain --method gvsl --out gvsl.safetensors
    """
    METHODS.check(method)
    options.check_output(out)
    if METHODS.load(method).facts.pretrains == "nothing":
        raise UserError(f"--method {method}: pre-trains nothing; evaluate it with ssl-bench run")
    scans = CorpusData(corpus, take_labels=take_labels)
    _, locations = locations_of([], corpus=scans, skip_problems=skip_problems, store=store)
    planner, runtime = plan_with(resolution.on_network(backbone), execution, locations, start=start)
    cell = planner.pretraining(method, seed)

    from ssl_bench.executors.cells.outcomes import outcome
    from ssl_bench.executors.cells.run_cell import run_cell
    from ssl_bench.files import atomic_write
    from ssl_bench.planning.snapshots import keeping_snapshots
    from ssl_bench.training.progress import Progress

    if snapshots is not None:
        cell = keeping_snapshots(cell, snapshots)
    results = execution.store()
    results.check_writable()
    results.plan(cell)
    record = run_cell(cell, results, runtime, Progress(shown=not execution.quiet))
    if record.status == "ok":
        with atomic_write(out) as temporary:
            shutil.copyfile(results.backbone_path(cell.key), temporary)
    if execution.as_json:
        typer.echo(json.dumps(record.model_dump(mode="json")))
    else:
        typer.echo(f"{cell.title}: {outcome(record)}  [{cell.key}]")
    warn_of_collapse([cell], results)
    if record.status == "failed":
        raise typer.Exit(1)
    if not execution.as_json:
        typer.echo(f"backbone: {out}")
        if cell.snapshots:
            typer.echo(f"snapshots: {results.snapshots_folder(cell.key)}")


@with_groups
def evaluate(
    *,
    backbone: Annotated[str, typer.Option(metavar="FILE|hf:...", help=ACCEPTED)],
    task: options.Task,
    weights: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of several networks in the file, the one that is meant, such as teacher."),
    ] = None,
    trained_on: options.TrainedOn = "",
    expects: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE",
            help="What the weights expect of volumes, where their source does not say it: axes=RAS, intensity=z-score, "
            "window_hu=[-175, 250], spacing_mm=[1, 1, 1], patch=[96, 96, 96].",
        ),
    ] = None,
    protocol: options.Protocols = "linear,finetune",
    seed: options.Seed = 0,
    resolution: Resolution,
    execution: Execution,
    data: TaskData,
    skip_problems: options.SkipProblems = False,
    store: options.StoreOption = None,
    reset: options.ResetOption = options.Reset.none,
    shifts: options.Shifts = "",
    rerun: options.RerunOption = options.Rerun.missing,
) -> None:
    """Evaluate the backbone in a file; its row is called external:NAME.

    Says how many tensors matched, were missing and were left over, the layout and the licence of the weights, what
    they were trained on and expect of volumes, and if the decoder was not pre-trained. A file that would leave a tensor
    of the network untouched is refused, and so is one with several networks, such as a teacher and a student, unless
    --weights names one. Of a hub the revision has to be named; a branch is resolved to the commit that it is now.

    Example: ssl-bench evaluate --backbone gvsl.safetensors --task shc
    """
    asked = resolve_shifts(shifts)
    protocols = names(protocol, "--protocol", PROTOCOLS.newest_names)
    for name in protocols:
        resolve_protocol(name)

    from ssl_bench.training.progress import Progress
    from ssl_bench.weights.entrance import unmet
    from ssl_bench.weights.located import locate

    say = Progress(shown=not execution.quiet).say
    (task,), locations = locations_of([task], data, skip_problems=skip_problems, store=store)
    path, external = locate(backbone, say, weights, trained_on, expects or [])
    planner, runtime = plan_with(resolution, execution, locations, data.fold, data.label_fraction, data.stem)
    cells = [planner.external(path, external, task, name, seed, reset.value) for name in protocols]
    cells = further_asked(without_pointless(cells), asked)
    for line in unmet(external.contract, cells[0].evaluation, TASKS.load(task).facts.modality):
        say(f"{external.hub or path}: {line}")
    run_and_print(cells, execution, runtime, rerun)
