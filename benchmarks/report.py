"""How the report scales: seconds and memory of `ssl-bench report` over a hundred thousand records, on one core.

The records are those of the reference run with other methods, seeds, settings and scores; once in each format.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from benchmarks.commands import COMMAND, REFERENCE
from benchmarks.tables import Row, Table
from benchmarks.timing import Options

METHODS, SEEDS = 25, 10
"""Of every setting, as its 4 tasks and 2 protocols are: 2,250 records, of which 250 are pre-trainings."""
FORMATS = ("md", "csv", "latex")


def measure(options: Options) -> list[Table]:
    records = 3000 if options.quick else 100_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "store"
        write_store(folder, records)
        rows = [_measure(folder, format_, Path(scratch) / "report") for format_ in FORMATS]
    return [{"title": f"Reports of {records:,} records, on one core", "rows": rows}]


def write_store(folder: Path, count: int) -> None:
    """Fill `folder` with `count` records: evaluations from one of each task and protocol, and their pre-trainings."""
    templates = [from_json(path.read_bytes()) for path in sorted(REFERENCE.glob("records/gvsl/*/*/*.json"))]
    templates += [template for template in _pretrainings() if template["science"]["method"] == "gvsl"]
    generator = np.random.default_rng(0)
    for number in range(count):
        rest, template = divmod(number, len(templates))
        setting, row = divmod(rest, METHODS * SEEDS)
        record, path = _varied(templates[template], setting, row // SEEDS, row % SEEDS, generator)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(to_json(record, indent=1))


def _pretrainings() -> list[dict[str, Any]]:
    return [from_json(path.read_bytes()) for path in sorted(REFERENCE.glob("pretrained/*/record.json"))]


def _varied(
    template: dict[str, Any], setting: int, method: int, seed: int, generator: np.random.Generator
) -> tuple[dict[str, Any], Path]:
    """The record of another method, seed and setting, with other scores, and where it lies."""
    name = f"method_{method:02}" if method else "scratch"
    key = hashlib.sha256(f"{template['key']} {setting} {name} {seed}".encode()).hexdigest()[:16]
    changed = {"preset": "quick", "overrides": [f"cohort.corpus={setting}"], "digest": f"{setting:08x}", "ranked": True}
    record = template | {"key": key, "setting": changed}
    spec = template["science"]
    if "backbone" not in spec:
        return record | {"science": spec | {"method": name, "seed": seed}}, Path("pretrained", key, "record.json")
    backbone = spec["backbone"] | {"method": name, "seed": seed}
    record["science"] = spec | {"backbone": backbone, "seed": seed}
    record["cases"] = [case | _scores(case, generator) for case in template["cases"]]
    record["score"] = float(np.mean([case.get("dsc", case.get("probability")) for case in record["cases"]]))
    return record, Path("records", name, spec["task"], spec["protocol"], f"{key}.json")


def _scores(case: dict[str, Any], generator: np.random.Generator) -> dict[str, float]:
    name = "dsc" if "dsc" in case else "probability"
    return {name: float(np.clip(case[name] + generator.normal(0, 0.05), 0, 1))}


def _measure(folder: Path, format_: str, out: Path) -> Row:
    """One report in a process of its own."""
    call = [sys.executable, "-c", COMMAND, "report", "--results", str(folder), "--format", format_, "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    start = time.perf_counter()
    with subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL, preexec_fn=_on_one_core) as process:
        # It alone tells what one process used.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    assert process.returncode == 0, f"{format_}: the report failed"
    scale = 1 if sys.platform == "darwin" else 1024
    return {
        "format": format_,
        "seconds": wall,
        "processor seconds": used.ru_utime + used.ru_stime,
        "peak MiB": used.ru_maxrss * scale / 2**20,
        "output MiB": out.stat().st_size / 2**20,
    }


def _on_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
