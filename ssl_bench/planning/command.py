"""The command that plans a cell anew: what its plan holds, as options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_bench.spec.cell import Cell
from ssl_bench.spec.specification import EvaluationSpec, ExternalBackbone, PretrainingSpec

UNKNOWN = "PATH"
"""Stands for a path that is not known: none is hashed, so a record alone holds none."""


def command_of(cell: Cell, provenance: Mapping[str, Any], results: str) -> list[str]:
    """The arguments of ``ssl-bench`` under which a cell of the same key runs into the folder `results`.

    `provenance` is its record's, from which device and threads come; empty for a cell that has not run.
    """
    spec = cell.spec
    if isinstance(spec, PretrainingSpec):
        arguments = [
            "pretrain",
            "--method",
            spec.method,
            "--out",
            f"{cell.key}.safetensors",
            *_corpus(cell, spec),
        ]
    else:
        arguments = [*_backbone(cell, spec), "--protocol", spec.protocol, *_data(cell, spec)]
    arguments += ["--seed", str(spec.seed), "--preset", cell.setting.preset]
    for override in cell.setting.overrides:
        arguments += ["--set", override]
    for file in cell.plugins:
        arguments += ["--plugin", str(file)]
    arguments += ["--skip-problems"] if cell.locations.skip_problems else []
    return [*arguments, "--precision", spec.precision, *runtime_options(provenance), "--results", results]


def _backbone(cell: Cell, spec: EvaluationSpec) -> list[str]:
    """The command, whose backbone, and on which task: a folder that defines a task of its own is named by it."""
    own = _own(spec)
    task = f"{own}:{cell.locations.data_roots.get(spec.task, UNKNOWN)}" if own else spec.task
    if isinstance(spec.backbone, ExternalBackbone):
        return ["evaluate", "--backbone", str(cell.backbone_file or UNKNOWN), "--task", task]
    locations = cell.locations
    region = ["--corpus-region", locations.corpus_region] if locations.corpus_region else []
    overlap = ["--allow-overlap"] if locations.allow_overlap else []
    corpus = [*_corpus(cell, spec.backbone), *region, *overlap]
    return ["run", "--method", spec.backbone.method, "--task", task, *corpus]


def _corpus(cell: Cell, spec: PretrainingSpec) -> list[str]:
    return ["--corpus", str(cell.locations.corpus or UNKNOWN)] if spec.corpus and spec.corpus.is_real else []


def _own(spec: EvaluationSpec) -> str:
    """How a folder defines the task, of which its name tells; empty for a registered task."""
    kind, dash, _ = spec.task.partition("-")
    return kind if dash and kind in ("nnunet", "folder") and spec.data.is_real else ""


def _data(cell: Cell, spec: EvaluationSpec) -> list[str]:
    locations, data, found = cell.locations, spec.data, []
    if locations.anatomy:
        found += ["--anatomy", ",".join(map(str, locations.anatomy))]
    if data.is_real:
        if not _own(spec):
            found += ["--data-root", str(locations.data_roots.get(spec.task, UNKNOWN))]
        found += ["--split", str(locations.split)] if locations.split else []
        found += ["--fold", str(data.fold)]
    return found if data.label_fraction == 1 else [*found, "--label-fraction", repr(data.label_fraction)]


def runtime_options(provenance: Mapping[str, Any]) -> list[str]:
    """The options of device, ranks, threads and recomputing as `provenance` says; none where it is empty."""
    if not provenance:
        return []
    device, threads, ranks = str(provenance.get("device", "cpu")), provenance.get("threads"), provenance.get("ranks")
    if isinstance(ranks, int) and ranks > 1:
        places = ["cpu"] * ranks if device == "cpu" else [str(rank) for rank in range(ranks)]
        found = ["--strategy", "ddp", "--devices", ",".join(places)]
    else:
        found = ["--device", device if device in ("cpu", "mps") else "cuda"]
    found += ["--threads", str(threads)] if isinstance(threads, int) else []
    return [*found, "--checkpointing"] if provenance.get("checkpointing") else found
