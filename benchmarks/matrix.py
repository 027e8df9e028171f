"""The whole matrix of the preset quick, the reference run's, with two workers and an empty cache: about 15 minutes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.commands import COMMAND
from benchmarks.tables import Row, Table
from benchmarks.timing import Options

METHODS = "scratch,models_genesis,deepcluster,simclr,simsiam,gvsl"
WORKERS = 2


def measure(part: str, options: Options) -> list[Table]:
    """The figures of two commits stand side by side with ``--before``."""
    preset, methods, tasks = ("smoke", "scratch", "shc") if options.quick else ("quick", METHODS, "all")
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        call = ["matrix", "--preset", preset, "--methods", methods, "--tasks", tasks, "--results", str(results)]
        call += ["--executor", "local", "--workers", str(WORKERS), "--device", options.device]
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        environment["SSL_BENCH_CACHE"] = f"{folder}/cache"
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-c", COMMAND, *call], env=environment, stdout=subprocess.PIPE, check=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        records = [json.loads(path.read_text("utf-8")) for path in sorted(results.rglob("*.json"))]
    ended = [record for record in records if record.get("status") == "ok" and "cost" in record]
    own = [record["cost"]["wall_seconds"] for record in ended]
    rows: list[Row] = [
        {"what": "seconds, from an empty cache", "figure": wall},
        {"what": "processor seconds", "figure": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime},
        {"what": "cells and pre-trainings that ended well", "figure": len(ended)},
        {"what": "seconds inside cells", "figure": sum(own)},
        {"what": f"% of {WORKERS} workers' time inside cells", "figure": 100 * sum(own) / (WORKERS * wall)},
        {"what": "largest process (GiB)", "figure": max(r["cost"]["peak_process_mib"] for r in ended) / 1024},
    ]
    kinds: dict[str, list[float]] = {}
    for record, seconds in zip(ended, own, strict=True):
        kinds.setdefault(record["science"].get("protocol", "pre-training"), []).append(seconds)
    rows += [{"what": f"seconds, mean {kind}", "figure": sum(v) / len(v)} for kind, v in sorted(kinds.items())]
    return [{"title": f"The preset {preset} from an empty cache, {WORKERS} workers", "rows": rows}]
