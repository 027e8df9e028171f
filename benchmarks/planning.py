"""What planning costs: ``ssl-bench matrix --dry-run`` of ten thousand cells, the whole command with its imports.

``python benchmarks/planning.py [--quick] [--repeat N] [--json FILE]`` on an otherwise idle machine. Wall seconds
are the best of the repetitions; processor seconds tell how far another load disturbed them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEEDS, QUICK_SEEDS = 64, 1
"""With 13 methods, 4 tasks and 3 protocols: 9,984 evaluations and 768 pre-trainings."""
IMPORTS = {"nothing": "pass", "torch": "import torch", "the planner": "from ssl_bench.cells.plan import Planner"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="One seed, one repetition.")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    seeds, repeat = (QUICK_SEEDS, 1) if given.quick else (SEEDS, given.repeat)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as results:
        matrix = [
            *("matrix", "--dry-run", "--methods", "all", "--tasks", "all", "--protocols", "linear,finetune,probe"),
            *("--seeds", f"0-{seeds - 1}", "--results", results),
        ]
        for what, code in IMPORTS.items():
            figures[f"import {what}"] = measure(["-c", code], repeat)
        figures["ssl-bench matrix --dry-run"] = measure(
            ["-c", "from ssl_bench.cli import main; main()", *matrix], repeat
        )
    for what, cost in figures.items():
        print(f"{what:28} {cost['wall_seconds']:6.2f} s, processor {cost['processor_seconds']:6.2f} s", flush=True)
    found = {"evaluations": 13 * 4 * 3 * seeds, "repeat": repeat, "figures": figures}
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def measure(arguments: list[str], repeat: int) -> dict[str, float]:
    """The best wall time of `repeat` runs of python with `arguments`, and the least processor time."""
    walls, processors = [], []
    for _ in range(repeat):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processors.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"wall_seconds": round(min(walls), 3), "processor_seconds": round(min(processors), 3)}


if __name__ == "__main__":
    main()
