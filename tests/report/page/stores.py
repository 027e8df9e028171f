"""Stores of made-up records, from one cell to a thousand."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from ssl_bench.api.settings import load_preset
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import EvaluationRecord, PretrainingRecord
from ssl_bench.store.store import Store

PARADIGM = {
    "scratch": "none",
    "models_genesis": "centroid-hidden",
    "deepcluster": "centroid-absolute",
    "gvsl": "geometric",
}
COST = {"wall_seconds": 12.3, "device_seconds": 12.3, "processor_seconds": 24.1, "peak_process_mib": 1915.6}
PROVENANCE = {
    "created": "2026-11-23T01:17:48+00:00", "commit": "ca4ab01671a1", "device": "cpu", "threads": 2,
    "processor": "Some Processor", "precision": "bf16", "platform": "Linux",
    "versions": {"python": "3.11.7", "ssl-bench": "0.1.0", "torch": "2.14.1", "numpy": "2.4.6", "monai": "1.6.1"},
}  # fmt: skip
MODULES = {
    "pretrained": ["inc", "down1", "down2", "down3", "down4"], "random": ["head"], "frozen": ["inc", "down1"],
    "decoder": "random, frozen", "tensors_matched": 72, "tensors_missing": 0, "tensors_left_over": 0,
}  # fmt: skip


def planner(*overrides: str, preset: str = "quick") -> Planner:
    return Planner(load_preset(preset, overrides), overrides, "float32")


def evaluation(
    method: str, task: str = "shc", seed: int = 0, protocol: str = "linear", plan: Planner | None = None, **changed: Any
) -> EvaluationRecord:
    """A record as a cell leaves it, with a dozen cases around 0.5; `changed` replaces fields."""
    cell = (plan or planner()).evaluation(method, task, protocol, seed)
    draws = random.Random(f"{method} {task} {protocol} {seed}")
    cases = [{"case": f"test-{place:03}", "dsc": 0.4 + 0.2 * draws.random()} for place in range(12)]
    values: dict[str, Any] = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)",
        "spec": cell.spec, "paradigm": PARADIGM.get(method, "centroid-relative"), "converged": True,
        "score": sum(case["dsc"] for case in cases) / len(cases), "cases": cases, "best_step": 60,
        "cost": COST, "provenance": PROVENANCE, "modules": MODULES, "scene": "inner",
        "validation_curve": [{"step": 10.0 * step, "score": draws.random(), "loss": 1 / step} for step in range(1, 11)],
        "health": {"feature_std": 0.0003, "effective_rank": 15.6, "volumes": 32.0},
        "policy": "left out of a case's mean where neither truth nor prediction has it",
    }  # fmt: skip
    return EvaluationRecord.model_validate(values | changed)


def pretraining(method: str, seed: int = 0, plan: Planner | None = None) -> PretrainingRecord:
    cell = (plan or planner()).pretraining(method, seed)
    draws = random.Random(f"{method} {seed}")
    values: dict[str, Any] = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)",
        "spec": cell.spec, "volumes_seen": 740, "cost": COST, "provenance": PROVENANCE,
        "loss_curve": [1 / step + 0.1 * draws.random() for step in range(1, 400)],
        "held_out_curve": [{"step": 10.0 * step, "loss": 1 / (step + 1)} for step in range(30)],
        "health": {"feature_std": 0.0003, "effective_rank": 15.6},
    }  # fmt: skip
    return PretrainingRecord.model_validate(values)


def keep(folder: Path, *records: EvaluationRecord | PretrainingRecord) -> Store:
    """The store in `folder` with `records` in it, under the names that it gives them."""
    for record in records:
        if isinstance(record, PretrainingRecord):
            path = folder / "pretrained" / record.key / "record.json"
        else:
            path = folder / "records" / "method" / record.spec.task / record.spec.protocol / f"{record.key}.json"
        path = path if record.status == "ok" else path.with_name(f"{path.stem}.failed-1.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.model_dump_json(), "utf-8")
    return Store(folder)


def thousand_cells(folder: Path) -> Store:
    """84 rows by 12 columns: three protocols, four tasks, and methods in many settings of an option."""
    records: list[EvaluationRecord | PretrainingRecord] = []
    template = {(t, p): evaluation("gvsl", t, 0, p) for t in TASKS for p in ("linear", "finetune", "probe")}
    first = pretraining("gvsl")
    for place in range(84):
        method = "scratch" if place == 0 else f"method_{place:02}"
        paradigm = "none" if place == 0 else ("geometric", "centroid-hidden", "centroid-relative")[place % 3]
        if place:
            spec = first.spec.model_copy(update={"method": method, "batch": 2 + place})
            records.append(first.model_copy(update={"spec": spec, "key": f"{place:016x}"}))
        for number, record in enumerate(template.values()):
            draws = random.Random(place * 100 + number)
            cases = [{**case, "dsc": min(1, case["dsc"] + 0.2 * draws.random())} for case in record.cases]
            backbone = record.spec.backbone.model_copy(update={"method": method, "batch": 2 + place})
            spec = record.spec.model_copy(update={"backbone": backbone})
            changed = {"key": f"{place:08x}{number:08x}", "spec": spec, "paradigm": paradigm, "cases": cases}
            records.append(record.model_copy(update=changed | {"score": sum(c["dsc"] for c in cases) / len(cases)}))
    return keep(folder, *records)


TASKS = ("shc", "sac", "sbm", "ccc")
