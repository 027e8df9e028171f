"""What it takes to run a cell again: the command, the environment, and where the result may differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ssl_bench.errors import UserError
from ssl_bench.planning.command import UNKNOWN, command_of, runtime_options
from ssl_bench.planning.replanning import plan_again
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord
from ssl_bench.spec.specification import EvaluationSpec, ExternalBackbone
from ssl_bench.training.runtime import Runtime, provenance

RESULTS = "reproduced"
"""A folder of its own: a cell that is in the store returns at once."""
COMPARED = ("device", "processor", "threads", "ranks", "commit", "platform")
"""Of an environment, besides the versions: what may change the last bits, or the result."""


class Reproduction(BaseModel):
    """How to run one cell again."""

    key: str
    title: str
    command: list[str]
    """Arguments of ``ssl-bench``."""
    pretraining_command: list[str]
    """Those of its pre-training, to be run before, where that had other devices or threads; empty elsewhere."""
    commit: str | None
    """Of the source checkout that ran it; None for an installed wheel, or where nothing ran."""
    versions: dict[str, str]
    environment: dict[str, Any]
    """The rest of the record's provenance; empty where nothing ran."""
    caveats: list[str]
    """One sentence each: what cannot be recovered, and where bits may differ."""


def reproduction_of(cell: Cell, record: AnyRecord | None, pretraining: AnyRecord | None, planned: bool) -> Reproduction:
    """How to run `cell` again. `record` and `pretraining` are its and its pre-training's, where there are any.

    `planned` says that the cell comes from its plan, which knows paths, and not from its record alone.
    """
    ran = dict(record.provenance) if record else {}
    before = _pretraining_command(cell, ran, pretraining)
    return Reproduction(
        key=cell.key,
        title=cell.title,
        command=command_of(cell, ran, RESULTS),
        pretraining_command=before,
        commit=str(ran["commit"]) if ran.get("commit") else None,
        versions={name: str(version) for name, version in _versions(ran).items()},
        environment={name: value for name, value in ran.items() if name not in ("versions", "commit")},
        caveats=[
            *_environment_caveats(cell, ran),
            *_pretraining_caveats(ran, pretraining, before),
            *_data_caveats(cell, planned),
            *_key_caveats(cell),
        ],
    )


def _pretraining_command(cell: Cell, ran: Mapping[str, Any], pretraining: AnyRecord | None) -> list[str]:
    """Empty where the evaluation's own command pre-trains on the same devices and threads, or nothing is known."""
    if cell.pretraining is None or pretraining is None:
        return []
    if runtime_options(pretraining.provenance) == runtime_options(ran):
        return []
    return command_of(cell.pretraining, pretraining.provenance, RESULTS)


def _environment_caveats(cell: Cell, ran: Mapping[str, Any]) -> list[str]:
    if not ran:
        return ["It has not run here: no environment is recorded."]
    device, here = str(ran.get("device", "cpu")), provenance(Runtime(), cell.spec.precision)
    found = [
        "Bits: the same on the CPU with the same versions, threads and type of processor; elsewhere scores differ a "
        "little."
        if device == "cpu"
        else f"Bits: it ran on {device}, where sums have no fixed order: scores differ a little from run to run."
    ]
    # Threads are an option of the command, whatever this installation would choose.
    if differences := _differences(ran, {name: value for name, value in here.items() if name != "threads"}):
        found.append(f"This installation is another: {'; '.join(differences)}.")
    if str(ran.get("commit")).endswith("+changes"):
        found.append("It ran from a checkout with changes that were not committed, which nothing records.")
    if "+" in str(_versions(ran).get("torch")):
        found.append("The version of torch is one of PyTorch's own builds: pip needs the index that it comes from.")
    return found


def _pretraining_caveats(ran: Mapping[str, Any], pretraining: AnyRecord | None, command: list[str]) -> list[str]:
    if pretraining is None:
        return []
    differences, found = _differences(ran, pretraining.provenance), []
    if differences:
        found.append(f"Its pre-training {pretraining.key} ran elsewhere: {'; '.join(differences)}.")
    if command:
        found.append("Its pre-training has a command of its own, which comes first and keeps its devices and threads.")
    return found


def _differences(ran: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What `other` has instead of what `ran` has, where both say it."""
    first, second = ({**_versions(found), **{name: found.get(name) for name in COMPARED}} for found in (ran, other))
    return [
        f"{name} {second[name]} instead of {value}"
        for name, value in first.items()
        if value and second.get(name) and second[name] != value
    ]


def _versions(ran: Mapping[str, Any]) -> dict[str, Any]:
    found = ran.get("versions")
    return found if isinstance(found, dict) else {}


def _data_caveats(cell: Cell, planned: bool) -> list[str]:
    spec, hashed = cell.spec, "is not part of the key, the content is"
    backbone = spec.backbone if isinstance(spec, EvaluationSpec) else spec
    found = [] if planned else ["No plan of it is here that reads: its record says the options, and knows no paths."]
    if isinstance(spec, EvaluationSpec) and spec.data.is_real:
        found.append(f"Data: where they lie {hashed} (fingerprint {spec.data.fingerprint}).")
    if isinstance(backbone, ExternalBackbone):
        found.append(f"Weights: where their file lies {hashed} (SHA-256 {backbone.sha256}).")
    else:
        if backbone.corpus and backbone.corpus.is_real:
            found.append(f"Corpus: where it lies {hashed} (fingerprint {backbone.corpus.fingerprint}).")
        if backbone.plugin_source:
            whence = "" if cell.plugins else "from a package or a file that is not recorded, "
            found.append(f"Method {backbone.method}: {whence}its source has the SHA-256 {backbone.plugin_source}...")
    if any(UNKNOWN in argument.split(":") for argument in command_of(cell, {}, RESULTS)):
        found.append(f"{UNKNOWN} stands for a path that is not recorded.")
    return found


def _key_caveats(cell: Cell) -> list[str]:
    """Whether this installation still plans the cell under its key."""
    try:
        again = plan_again(cell)
    except UserError as error:
        return [f"This installation cannot plan it: {error}."]
    if again is None:
        return ["Whether the folders still hold what it was planned from shows in the key that the command prints."]
    if again.key == cell.key:
        return ["This installation plans it under the same key."]
    return [f"This installation plans it as {again.key}: a preset, a method, a file or an order of --set has changed."]
