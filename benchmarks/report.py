"""How the report scales: seconds and memory of ``ssl-bench report`` over a store of synthetic records, on one core.

``python benchmarks/report.py [--records N] [--quick] [--store DIR] [--json FILE]``; ``--quick`` takes a few thousand
records. The records are those of the reference run with other methods, seeds, settings and scores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

REFERENCE = Path(__file__).parents[1] / "results" / "reference" / "quick"
METHODS, SEEDS = 25, 10
"""Of every setting, as its 4 tasks and 2 protocols are: 2,250 records, of which 250 are pre-trainings."""
FORMATS = ("md", "csv", "latex")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--store", type=Path, help="kept there, and used again if it is there")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.store or Path(scratch) / "store"
        if not folder.exists():
            write_store(folder, 3000 if options.quick else options.records)
        records = sum(1 for _ in folder.rglob("*.json"))
        rows = [_measure(folder, format_, Path(scratch) / "report") for format_ in FORMATS]
    print(f"{records} records\n\nformat  wall s  processor s  peak MiB  output MiB")
    for row in rows:
        print(
            f"{row['format']:6}  {row['wall']:6.1f}  {row['processor']:11.1f}  {row['peak']:8.0f}  {row['size']:10.1f}"
        )
    if options.json:
        options.json.write_text(json.dumps({"records": records, "formats": rows}, indent=1))


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
    science = template["science"]
    if "backbone" not in science:
        return record | {"science": science | {"method": name, "seed": seed}}, Path("pretrained", key, "record.json")
    backbone = science["backbone"] | {"method": name, "seed": seed}
    record["science"] = science | {"backbone": backbone, "seed": seed}
    record["cases"] = [case | _scores(case, generator) for case in template["cases"]]
    record["score"] = float(np.mean([case.get("dsc", case.get("probability")) for case in record["cases"]]))
    return record, Path("records", name, science["task"], science["protocol"], f"{key}.json")


def _scores(case: dict[str, Any], generator: np.random.Generator) -> dict[str, float]:
    name = "dsc" if "dsc" in case else "probability"
    return {name: float(np.clip(case[name] + generator.normal(0, 0.05), 0, 1))}


def _measure(folder: Path, format_: str, out: Path) -> dict[str, Any]:
    """Wall and processor seconds and the peak memory of one report, in a process of its own on one core."""
    code = "import sys; from ssl_bench.cli import main; sys.argv[0] = 'ssl-bench'; main()"
    call = [sys.executable, "-c", code, "report", "--results", str(folder), "--format", format_, "--out", str(out)]
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.execve(sys.executable, call, os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    _, status, used = os.wait4(child, 0)
    assert status == 0, f"{format_}: the report failed"
    scale = 1 if sys.platform == "darwin" else 1024
    return {
        "format": format_,
        "wall": round(time.perf_counter() - start, 2),
        "processor": round(used.ru_utime + used.ru_stime, 2),
        "peak": round(used.ru_maxrss * scale / 2**20, 1),
        "size": round(out.stat().st_size / 2**20, 2),
    }


if __name__ == "__main__":
    main()
