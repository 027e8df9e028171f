"""What scheduling costs and brings, on an otherwise idle machine of at least two cores.

``python benchmarks/scheduling.py [--quick] [--methods M,N] [--tasks T] [--preset P] [--store DIR] [--json FILE]``

Overhead: the wall time of a matrix on one slot, from the start of its process to its end, beyond what its cells say
they took; its cells are pre-trainings of at least 20 seconds that sleep. Throughput: the wall time of one matrix by two
workers of one thread, by one of one thread and by one of two threads. That takes hours: what ended is kept in
``--store``, and the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = [sys.executable, "-c", "from ssl_bench.cli import main; main()"]
WORKERS_AND_THREADS = ((2, 1), (1, 1), (1, 2))
SLEEPING = '''
"""A pretext that takes its time."""
import time
from ssl_bench.method import Method, MethodFacts

class Sleeping(Method):
    facts = MethodFacts(
        title="Sleeping", paper="none", year=2026, version=1, paradigm="centroid-hidden", pretrains="encoder"
    )

    def training_step(self, volumes, draws):
        time.sleep({seconds} / 4)
        return {{"loss": self.backbone(volumes).global_[0].square().mean()}}
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="Cells of a second, and a matrix of a minute.")
    parser.add_argument("--methods", default="all")
    parser.add_argument("--tasks", default="all")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--cells", type=int, default=6, help="Of the overhead.")
    parser.add_argument("--store", type=Path, help="Kept there, and gone on with if it is there.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sleeping", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sleeping:
        run_sleeping(Path(given.sleeping), given.cells)
        return
    if given.quick:
        given.methods, given.tasks, given.preset, given.cells = "scratch,denoising", "ccc", "smoke", 2
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.store or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = {"overhead": overhead(folder, given.cells, 1 if given.quick else 20)}
        cost = found["overhead"]
        print(f"{given.cells} cells on one slot: {cost['wall_seconds']:.1f} s, of which the cells' own", end=" ")
        print(f"{cost['cells_seconds']:.1f} s: overhead {cost['overhead_percent']:.1f} %", flush=True)
        for workers, threads in WORKERS_AND_THREADS:
            cost = throughput(folder, workers, threads, given)
            found[f"workers {workers}, threads {threads}"] = cost
            print(f"workers {workers}, threads {threads}: {cost['wall_seconds']:.1f} s for {cost['cells']:.0f} cells")
    two, one, wide = (found[f"workers {w}, threads {t}"]["wall_seconds"] for w, t in WORKERS_AND_THREADS)
    print(f"two workers are {one / two:.2f} times as fast as one, and {wide / two:.2f} times as one of two threads")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def overhead(folder: Path, cells: int, seconds: float) -> dict[str, float]:
    """Seconds of a matrix of sleeping pre-trainings on one slot, and what of them is not the cells' own."""
    kept = folder / f"overhead-{cells}-{seconds}.json"
    if not kept.exists():
        plugin = folder / f"sleeping_{seconds}.py"
        plugin.write_text(SLEEPING.format(seconds=seconds), "utf-8")
        start = time.perf_counter()
        call = [sys.executable, __file__, "--sleeping", str(plugin), "--cells", str(cells)]
        own = float(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
        wall = time.perf_counter() - start
        kept.write_text(json.dumps({
            "wall_seconds": round(wall, 3), "cells_seconds": own, "overhead_percent": round(100 * (1 - own / wall), 2)
        }), "utf-8")  # fmt: skip
    found: dict[str, float] = json.loads(kept.read_text("utf-8"))
    return found


def run_sleeping(plugin: Path, cells: int) -> None:
    """Run so many sleeping pre-trainings on one slot of one thread, and print the sum of their own seconds."""
    from ssl_bench.cells.plan import Planner
    from ssl_bench.cells.store import Store
    from ssl_bench.engine.live import LiveView
    from ssl_bench.engine.local import run_local
    from ssl_bench.engine.runtime import Runtime
    from ssl_bench.engine.slots import cpu_slots
    from ssl_bench.registry import add_plugin_file
    from ssl_bench.settings import load_preset

    add_plugin_file(plugin)
    planner = Planner(load_preset("smoke"), [], "float32")
    planned = [planner.pretraining(plugin.stem, seed) for seed in range(cells)]
    with tempfile.TemporaryDirectory() as results:
        view = LiveView(["one"], shown=False)
        records = run_local(planned, Store(Path(results)), Runtime("cpu", 1), cpu_slots(1, 1), view)
    assert all(record.status == "ok" for record in records), records[0].reason
    print(sum(record.cost["wall_seconds"] for record in records))


def throughput(folder: Path, workers: int, threads: int, given: argparse.Namespace) -> dict[str, float]:
    """Wall seconds of the matrix, summed over the commands it took, and its cells."""
    results, kept = folder / f"results-{workers}-{threads}", folder / f"throughput-{workers}-{threads}.json"
    cost: dict[str, float] = {"wall_seconds": 0.0, "cells": 0}
    if kept.exists():
        cost |= json.loads(kept.read_text("utf-8"))
    if cost["cells"]:
        return cost
    matrix = [
        *("matrix", "--methods", given.methods, "--tasks", given.tasks, "--preset", given.preset, "--quiet"),
        *("--executor", "local", "--workers", str(workers), "--threads", str(threads), "--results", str(results)),
    ]
    start = time.perf_counter()
    try:
        subprocess.run([*COMMAND, *matrix], stdout=subprocess.DEVNULL, check=True)
        cost["cells"] = sum(1 for _ in results.rglob("cells/*.json"))
    finally:
        cost["wall_seconds"] = round(cost["wall_seconds"] + time.perf_counter() - start, 3)
        kept.write_text(json.dumps(cost), "utf-8")
    return cost


if __name__ == "__main__":
    main()
