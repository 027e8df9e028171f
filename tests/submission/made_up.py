"""A bundle that nobody trained for, and the ways to forge it: whatever a forger changes, digests are made anew."""

from __future__ import annotations

import copy
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from ssl_bench.api.registry import METHODS, TASKS
from ssl_bench.api.settings import load_preset
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import SEMI_REAL, AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.submission.documents import place_of
from ssl_bench.submission.manifest import FORMAT, summarise

Documents = dict[str, dict[str, Any]]
"""Records as JSON objects, by their paths in the bundle."""
PROVENANCE = {
    "versions": {"ssl-bench": "0.1.0"},
    "commit": "0123456789ab",
    "device": "cpu",
    "processor": "one processor",
    "platform": "Linux",
}


def planner() -> Planner:
    return Planner(load_preset("smoke"), [], "float32")


@cache
def _records() -> tuple[AnyRecord, ...]:
    planned, found = planner(), []
    for method in ("scratch", "gvsl", "simclr"):
        for seed in range(3):
            if method != "scratch":
                found.append(pretraining(planned.pretraining(method, seed)))
            found += [evaluation(planned.evaluation(method, task, "linear-v2", seed)) for task in ("ccc", "sbm")]
    return tuple(found)


def documents(records: Iterable[AnyRecord] | None = None) -> Documents:
    """The records of three rows, two tasks and three seeds, or others; to be changed as one likes."""
    found = _records() if records is None else records
    return {place_of(record): json.loads(record.model_dump_json()) for record in found}


def pretraining(cell: Cell) -> PretrainingRecord:
    spec = cell.pretraining_spec
    return PretrainingRecord(
        key=cell.key, status="ok", setting=cell.setting, data=SEMI_REAL, provenance=PROVENANCE, spec=spec,
        volumes_seen=spec.steps * spec.batch, loss_curve=[1.0] * spec.steps,
        backbone_sha256=hashlib.sha256(cell.key.encode()).hexdigest(),
    )  # fmt: skip


def evaluation(cell: Cell, names: Iterable[str] = (), **said: Any) -> EvaluationRecord:
    spec, generator = cell.evaluation, np.random.default_rng(int(cell.key, 16))
    names = list(names) or [f"test-{number:03d}" for number in range(spec.data.counts.test)]
    if spec.task == "ccc":
        cases = [{"case": n, "label": at % 2, "probability": generator.random()} for at, n in enumerate(names)]
        score = roc_auc_score([row["label"] for row in cases], np.float32([row["probability"] for row in cases]))
    else:
        classes = TASKS.load("sbm").facts.classes
        dice = [dict(zip(classes, generator.random(len(classes)).tolist(), strict=True)) for _ in names]
        means = [np.mean(list(of_case.values())) for of_case in dice]
        cases = [{"case": n, "dsc": m, "dsc_per_class": d} for n, m, d in zip(names, means, dice, strict=True)]
        score = np.mean(means)
    backbone = spec.backbone
    return EvaluationRecord(
        key=cell.key, status="ok", setting=cell.setting, provenance=PROVENANCE, spec=spec,
        paradigm=METHODS.load(spec.method).facts.paradigm, metric="AUC" if spec.task == "ccc" else "DSC",
        score=float(score), cases=cases, volumes_seen_in_pretraining=backbone.steps * getattr(backbone, "batch", 0),
        **{"data": SEMI_REAL, **said},
    )  # fmt: skip


def path_of(found: Documents, method: str, task: str = "", seed: int = 0) -> str:
    """Where the evaluation lies, or without a task the pre-training."""
    (path,) = [
        path
        for path, document in found.items()
        if document["science"].get("task", "") == task
        and document["science"].get("backbone", document["science"])["method"] == method
        and document["science"]["seed"] == seed
    ]
    return path


def rekeyed(found: Documents, path: str, change: Callable[[dict[str, Any]], None]) -> str:
    """Change the document at `path`, give it the key of what it says then, and the path: where that is."""
    document = found.pop(path)
    change(document)
    kind = PretrainingRecord if path.startswith("pretrained/") else EvaluationRecord
    document["key"] = kind.model_validate(document).spec.key
    place = place_of(kind.model_validate(document))
    found[place] = document
    return place


def write(to: Path, found: Documents, claimed: Documents | None = None, more: Iterable[tuple[str, bytes]] = ()) -> Path:
    """A zip of `found` and of `more` files, with a manifest whose summary is of `claimed`, by default of `found`."""
    files = {path: json.dumps(document).encode() for path, document in found.items()}
    kinds = [
        (PretrainingRecord if path.startswith("pretrained/") else EvaluationRecord).model_validate(copy.copy(document))
        for path, document in (claimed or found).items()
    ]
    manifest = {
        "format": FORMAT, "ssl_bench": "0.1.0", "by": "A. Nobody", "licence": "CC0-1.0",
        "records": {path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
        "summary": summarise(kinds).model_dump(mode="json"),
    }  # fmt: skip
    with zipfile.ZipFile(to, "w") as archive:
        for name, content in [("manifest.json", json.dumps(manifest).encode()), *files.items(), *more]:
            archive.writestr(name, content)
    return to
