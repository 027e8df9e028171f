"""``pretrain`` and ``evaluate``: a backbone out to a file, and in from one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from ssl_bench.cli import options
from ssl_bench.cli.run import names, plan_with, run_and_print, sources_of
from ssl_bench.errors import UserError
from ssl_bench.registry import METHODS, PROTOCOLS, resolve_protocol

ACCEPTED = (
    "All weights of the shared 3D U-Net, as ssl-bench pretrain or GVSL's released code writes them, or of Models "
    "Genesis: safetensors, or a torch file of plain tensors."
)


def pretrain(
    method: options.Method,
    out: Annotated[Path, typer.Option(help="Where to write the backbone, as safetensors.")],
    seed: options.Seed = 0,
    preset: options.Preset = "quick",
    set_: options.Set = None,
    plugin: options.Plugin = None,
    results: options.Results = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    checkpointing: options.Checkpointing = False,
    precision: options.PrecisionOption = None,
    corpus: options.Corpus = None,
    skip_problems: options.SkipProblems = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Pre-train a method and write its backbone; the store keeps it too, so that cells of the same science share it.

    Example: ssl-bench pretrain --method gvsl --out gvsl.safetensors
    """
    METHODS.check(method)
    options.check_output(out)
    _, sources = sources_of([], corpus=corpus, skip_problems=skip_problems)
    planner, runtime = plan_with(preset, set_, precision, sources, device, threads, checkpointing, quiet=quiet)
    cell = planner.pretraining(method, seed)

    from ssl_bench.cells.store import Store, results_folder
    from ssl_bench.engine.inline import outcome, run_cell
    from ssl_bench.engine.progress import Progress
    from ssl_bench.files import atomic_write

    if METHODS.load(method).facts.pretrains == "nothing":
        raise UserError(f"--method {method}: pre-trains nothing; evaluate it with ssl-bench run")
    store = Store(results_folder(results))
    store.check_writable()
    store.plan(cell)
    record = run_cell(cell, store, runtime, Progress(shown=not quiet))
    if record.status == "ok":
        with atomic_write(out) as temporary:
            shutil.copyfile(store.backbone_path(cell.key), temporary)
    typer.echo(
        json.dumps(record.model_dump(mode="json")) if as_json else f"{cell.title}: {outcome(record)}  [{cell.key}]"
    )
    if record.status == "failed":
        raise typer.Exit(1)
    if not as_json:
        typer.echo(f"backbone: {out}")


def evaluate(
    backbone: Annotated[Path, typer.Option(help=ACCEPTED)],
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
    precision: options.PrecisionOption = None,
    anatomy: options.Anatomy = None,
    data_root: options.DataRoot = None,
    split: options.Split = None,
    fold: options.Fold = 0,
    label_fraction: options.LabelFraction = 1.0,
    skip_problems: options.SkipProblems = False,
    rerun: options.RerunOption = options.Rerun.missing,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Evaluate the backbone in a file; its row is called external:NAME.

    Says how many tensors matched, were missing and were left over, the layout and the licence of the weights. A file
    that would leave a tensor of the network untouched is refused.

    Example: ssl-bench evaluate --backbone gvsl.safetensors --task shc
    """
    protocols = names(protocol, "--protocol", PROTOCOLS.names)
    for name in protocols:
        resolve_protocol(name)

    from ssl_bench.engine.progress import Progress
    from ssl_bench.engine.weights import describe_external
    from ssl_bench.external.released import read_weights

    weights = read_weights(backbone)
    external = describe_external(backbone, weights)
    (task,), sources = sources_of([task], anatomy, data_root, split, skip_problems=skip_problems)
    planner, runtime = plan_with(
        preset, set_, precision, sources, device, threads, checkpointing, fold, label_fraction, quiet
    )
    cells = [planner.external(backbone, external, task, name, seed) for name in protocols]
    Progress(shown=not quiet).say(f"{backbone}: {weights}")
    run_and_print(cells, results, runtime, rerun, as_json, quiet)
