"""What it takes to run a cell again: its plan, the environment, and where the result may differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ssl_bench.data.layouts.own_tasks import BUILDERS
from ssl_bench.errors import UserError
from ssl_bench.planning.registration import register
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.locations import Locations
from ssl_bench.spec.record import AnyRecord
from ssl_bench.training.runtime import Runtime, provenance

UNKNOWN = Path("PATH")
"""Stands in a plan for a path that is not known: none is hashed, so a record alone holds none."""
COMPARED = ("device", "processor", "threads", "ranks", "commit", "platform")
"""What, besides the versions, may change the last bits, or the result."""


class Reproduction(NamedTuple):
    """How to run one cell again."""

    cells: list[Cell]
    """The cell; before it its pre-training, where that had other devices or threads."""
    options: list[list[str]]
    """Those of ``ssl-bench cell KEY`` for each of `cells`."""
    caveats: list[str]
    """One sentence each: what cannot be recovered, and where bits may differ."""


def reproduction_of(cell: Cell, ran: Mapping[str, Any], pretraining: AnyRecord | None) -> Reproduction:
    """How to run `cell` again, which ran with the provenance `ran`, empty if it did not, after `pretraining`."""
    cells, options = [cell], [runtime_options(ran)]
    caveats = _environment_caveats(cell, ran)
    if pretraining and (differences := _differences(ran, pretraining.provenance)):
        caveats.append(f"Its pre-training {pretraining.key} ran elsewhere: {'; '.join(differences)}.")
    # Elsewhere the evaluation's own command pre-trains as it should.
    if pretraining and cell.pretraining and runtime_options(pretraining.provenance) != options[0]:
        cells, options = [cell.pretraining, cell], [runtime_options(pretraining.provenance), *options]
        caveats.append("Its pre-training has a command of its own, which comes first, with its devices and threads.")
    locations = cell.locations
    paths = [
        cell.backbone_file,
        locations.corpus,
        *locations.data_roots.values(),
        *(locations.anatomy or ()),
        *cell.plugins,
    ]
    if any(paths):
        caveats.append("Where files lie is not part of the key, their content is: paths in the plan may be changed.")
    if UNKNOWN in paths:
        return Reproduction(cells, options, [*caveats, f"{UNKNOWN} in the plan stands for one that is not recorded."])
    try:
        register(cell)
    except UserError as error:
        caveats.append(f"This installation cannot run it: {error}.")
    return Reproduction(cells, options, caveats)


def cell_of(record: AnyRecord) -> Cell:
    """The cell that `record` is of, without its plan: `UNKNOWN` stands wherever it needs a path."""
    cell = Cell(kind=record.kind, spec=record.spec, setting=record.setting)
    task, corpus = getattr(record.spec, "task", ""), cell.backbone.corpus
    kind, dash, _ = task.partition("-")
    of_folder = bool(task and record.spec.data and record.spec.data.is_real)
    locations = Locations(
        data_roots={task: UNKNOWN} if of_folder else {},
        own_tasks={task: kind} if of_folder and dash and kind in BUILDERS else {},  # type: ignore[dict-item]
        corpus=UNKNOWN if corpus and corpus.is_real else None,
        cross_validation=_folds_dealt(record),
        # Whether what is left is what the record is of shows in its fingerprint.
        skip_problems=True,
    )
    known = {name: tuple(getattr(record, name, ())) for name in ("overlap", "left_out")}
    same = {"split_by": getattr(record, "split_by", ""), "cross_validation": getattr(record, "cross_validation", None)}
    changes = {**known, **same, "locations": locations}
    return cell.model_copy(update={**changes, "backbone_file": UNKNOWN if cell.backbone.is_external else None})


def _folds_dealt(record: AnyRecord) -> int:
    found = getattr(record, "cross_validation", None)
    return found.folds if found and found.dealt else 0


def runtime_options(ran: Mapping[str, Any]) -> list[str]:
    """The options of device, ranks, threads and recomputing as the provenance `ran` says; none where it is empty."""
    if not ran:
        return []
    device, threads, ranks = str(ran.get("device", "cpu")), ran.get("threads"), ran.get("ranks")
    found = ["--device", device if device in ("cpu", "mps") else "cuda"]
    if isinstance(ranks, int) and ranks > 1:
        places = ["cpu"] * ranks if device == "cpu" else map(str, range(ranks))
        found = ["--strategy", "ddp", "--devices", ",".join(places)]
    found += ["--threads", str(threads)] if isinstance(threads, int) else []
    return [*found, "--checkpointing"] if ran.get("checkpointing") else found


def _environment_caveats(cell: Cell, ran: Mapping[str, Any]) -> list[str]:
    if not ran:
        return ["It has not run here: no environment is recorded."]
    found = [
        "Bits: the same on the CPU with the same versions, threads and type of processor; elsewhere scores differ."
    ]
    if (device := str(ran.get("device", "cpu"))) != "cpu":
        found = [f"Bits: it ran on {device}, where sums have no fixed order: scores differ a little from run to run."]
    # Threads are an option of the command, whatever this installation would choose.
    here = provenance(Runtime(), cell.spec.precision) | {"threads": None}
    if differences := _differences(ran, here):
        found.append(f"This installation is another: {'; '.join(differences)}.")
    if str(ran.get("commit")).endswith("+changes"):
        found.append("It ran from a checkout with changes that were not committed, which nothing records.")
    if "+" in str(versions_of(ran).get("torch")):
        found.append("The version of torch is one of PyTorch's own builds: pip needs the index that it comes from.")
    return found


def _differences(ran: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What `other` has instead of what `ran` has, where both say it."""
    first, second = (versions_of(found) | {name: found.get(name) for name in COMPARED} for found in (ran, other))
    return [f"{name} {second[name]} instead of {value}" for name, value in first.items()
            if value and second.get(name) and second[name] != value]  # fmt: skip


def versions_of(ran: Mapping[str, Any]) -> dict[str, Any]:
    """The libraries' versions in a provenance, which comes from anywhere."""
    found = ran.get("versions")
    return found if isinstance(found, dict) else {}
