"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssl_bench.api.registry import BACKBONES, EXECUTORS, METHODS, PROTOCOLS, TASKS, Registry, add_plugin_file
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.spec.locations import ImageStore


class Rerun(StrEnum):
    """Which cells run."""

    missing = "missing"
    failed = "failed"
    all = "all"


class Precision(StrEnum):
    """The precision of the forward and backward pass; losses stay in float32."""

    auto = "auto"
    float32 = "float32"
    bf16 = "bf16"


class Strategy(StrEnum):
    """What several devices do together."""

    single = "single"
    ddp = "ddp"


class Reset(StrEnum):
    """The part of a pre-trained backbone that starts at random again."""

    none = ""
    encoder = "encoder"
    decoder = "decoder"


class Stem(StrEnum):
    """How weights enter a backbone that reads another number of channels."""

    none = ""
    copy = "copy"
    mean = "mean"
    new = "new"


class StoreChoice(StrEnum):
    """``--store``."""

    plain = "plain"
    compressed = "compressed"


def image_store(choice: StoreChoice | None) -> ImageStore | None:
    """What ``--store`` chose; None if it was not given."""
    if choice is None:
        return None
    return "compressed" if choice is StoreChoice.compressed else "plain"


class Log(StrEnum):
    """For whom a cell writes its numbers as they come."""

    none = ""
    tensorboard = "tensorboard"


def completion(registry: Registry[Any]) -> Callable[[str], list[str]]:
    """Names of `registry` for the shell."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in registry.names() if name.startswith(incomplete)]

    return complete


complete_method, complete_task = completion(METHODS), completion(TASKS)
complete_protocol, complete_executor = completion(PROTOCOLS), completion(EXECUTORS)
complete_backbone = completion(BACKBONES)


def check_output(out: Path, kind: str = "file", option: str = "--out") -> None:
    """Raise UserError, before any work is done, unless `out`, which `option` gives, can name a file."""
    if out.is_dir() or not out.parent.is_dir():
        raise UserError(
            f"{option} {out}: {'is a folder' if out.is_dir() else 'its folder does not exist'}; name a {kind}"
        )


def load_plugins(files: list[Path] | None) -> list[Path] | None:
    """Register what ``--plugin`` names before the command looks at names."""
    for file in files or []:
        add_plugin_file(file)
    return files


def usable_names(registry: Registry[Any]) -> list[str]:
    """Every name of `registry` that works; the others are said on stderr."""
    usable, problems = registry.usable()
    for problem in problems:
        typer.echo(f"ssl-bench: {problem}", err=True)
    return usable


Method = Annotated[str, typer.Option(help="A method: see ssl-bench methods.", autocompletion=complete_method)]
Task = Annotated[
    str,
    typer.Option(
        help="A task: see ssl-bench tasks; or nnunet:DIR, folder:DIR for a data set of your own.",
        autocompletion=complete_task,
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="NAME",
        help="The network that is trained: see ssl-bench backbones; default: the preset's.",
        autocompletion=complete_backbone,
    ),
]
TrainedOn = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help="Data sets that the weights were made with, comma-separated, besides those that their source names.",
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|hf:...",
        help="Weights that every pre-training starts from, as evaluate --backbone takes them; else the seed's.",
    ),
]
InitWeights = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Of several networks in the file of --init, the one that is meant."),
]
Protocols = Annotated[
    str,
    typer.Option(
        help="Protocols, comma-separated; a bare name means its newest version.", autocompletion=complete_protocol
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        help="smoke (seconds), quick (minutes), small (hours), paper (days on a GPU), or real, sized by your data."
    ),
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="A Python file with a plugin of any kind.", callback=load_plugins),
]
Seed = Annotated[
    int, typer.Option(min=0, help="Of weights, batches and transforms; the embedded volumes do not change.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override a setting, e.g. --set pretraining.steps=200."),
]
Tuned = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="Options of methods that ssl-bench tune --freeze wrote.")
]
Results = Annotated[
    Path | None, typer.Option(help="Results folder; else $SSL_BENCH_RESULTS, else ./results.", file_okay=True)
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; default: all usable cores.")]
Checkpointing = Annotated[
    bool,
    typer.Option("--checkpointing", help="Compute activations twice: for devices with little memory; same results."),
]
CheckpointSeconds = Annotated[
    float, typer.Option(min=0, help="How often a cell saves the state that it resumes from; 0: after every step.")
]
LogOption = Annotated[
    Log,
    typer.Option(
        "--log",
        metavar="tensorboard",
        show_default=False,
        help="tensorboard: write losses, learning rates and scores as they come, into logs/tensorboard of the results.",
    ),
]
Executor = Annotated[
    str,
    typer.Option(
        help="Where the cells run, such as inline, local, slurm or plan: see ssl-bench executors.",
        autocompletion=complete_executor,
    ),
]
Devices = Annotated[
    str | None,
    typer.Option(
        metavar="cuda:0,cuda:1",
        help="Under --strategy ddp: they share each batch of a pre-training. Under --executor local: a worker on each.",
    ),
]
StrategyOption = Annotated[
    Strategy, typer.Option("--strategy", help="ddp: a pre-training spreads over --devices, with the same batch.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Under --executor local: so many on the processor, which share its cores.")
]
Retries = Annotated[
    int | None,
    typer.Option(min=0, help="Under --executor local: further attempts at a cell whose process died; default: 1."),
]
CellTimeout = Annotated[
    float | None,
    typer.Option(min=1, metavar="SECONDS", help="Under --executor local: end an attempt that takes longer."),
]
ExecutorSet = Annotated[
    list[str] | None,
    typer.Option("--executor-set", metavar="NAME=VALUE", help="An option that the executor itself has."),
]
Slurm = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm", metavar="NAME=VALUE", help="Under --executor slurm: partition, account, minutes, gpus, ..."
    ),
]
PrecisionOption = Annotated[
    Precision | None, typer.Option("--precision", help="Default: the preset's; auto is bf16 where it is native.")
]
Anatomy = Annotated[
    str | None,
    typer.Option(metavar="IMAGE,LABELS", help="Grow the task's cohort from your own anatomy (two NIfTI files)."),
]
RerunOption = Annotated[
    Rerun, typer.Option("--rerun", help="missing: cells without a success; failed: only those; all: everything anew.")
]
ResetOption = Annotated[
    Reset,
    typer.Option(
        "--reset",
        metavar="encoder|decoder",
        show_default=False,
        help="Evaluate with this part of the backbone as the seed draws it: tells which part carries good or harm.",
    ),
]
Shifts = Annotated[
    str,
    typer.Option(
        metavar="all|noise,rotation",
        show_default=False,
        help="Score the test cases under graded shifts too, with the same network as it is: see docs/robustness.md.",
    ),
]
Snapshots = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Keep N log-spaced snapshots of each pre-training, the last its end, and evaluate each of them.",
    ),
]
StemOption = Annotated[
    Stem,
    typer.Option(
        "--stem",
        metavar="copy|mean|new",
        show_default=False,
        help="Where a task has other channels than the pre-training: the first layer copies its one channel, has the "
        "mean of its channels, or starts anew.",
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="The task's real data set; for several tasks, a folder that holds one folder for each."
    ),
]
Split = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A split that ssl-bench data split wrote, or nnU-Net's splits_final.json."),
]
Subjects = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX|CSV",
        help="Who was scanned: a pattern whose first group, or whole match, in a case's name is the patient; or a "
        "table with the columns case and subject. Splits keep patients whole.",
    ),
]
Fold = Annotated[int, typer.Option(min=0, help="Which fold of the split.")]
CrossValidation = Annotated[
    int,
    typer.Option(
        min=0, metavar="K", show_default=False, help="Deal K folds, patients whole, as ssl-bench data split --folds K."
    ),
]
LabelFraction = Annotated[
    float, typer.Option(help="Of the training cases, those whose labels are used; smaller ones are subsets of larger.")
]
Corpus = Annotated[
    Path | None,
    typer.Option(metavar="DIR|CSV", help="Pre-train on the scans below a folder, or on those a CSV lists."),
]
CorpusRegion = Annotated[
    str, typer.Option(help="What the corpus shows (heart, lungs, brain): tells inner from inter scene.")
]
TakeLabels = Annotated[
    bool, typer.Option("--take-labels", help="Take files of the corpus that seem to be label maps for scans as well.")
]
SkipProblems = Annotated[
    bool, typer.Option("--skip-problems", help="Leave out cases that cannot be used; records say which.")
]
StoreOption = Annotated[
    StoreChoice | None,
    typer.Option(
        "--store",
        help="How prepared images of real data lie in the cache: plain, mapped, or compressed, about half the room and "
        "twice the time to read. Scores are the same. Default: as they lie there, new ones plain.",
    ),
]
AllowOverlap = Annotated[
    bool, typer.Option("--allow-overlap", help="Go on where the corpus holds test patients; records and tables say so.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
