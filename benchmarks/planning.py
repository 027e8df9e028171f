"""What planning costs: `ssl-bench matrix --dry-run` of ten thousand cells, the whole command with its imports.

Beside it stand processes that only import.
"""

from __future__ import annotations

import tempfile

from benchmarks.commands import COMMAND, process
from benchmarks.tables import Table
from benchmarks.timing import Options, interleaved, spread
from ssl_bench.api.registry import METHODS, PROTOCOLS, TASKS

SEEDS = 64
EVERYTHING = ("--methods", "all", "--tasks", "all", "--protocols", "all")


def evaluations(seeds: int) -> int:
    """Of every method, task and protocol."""
    return seeds * len(METHODS.names()) * len(TASKS.names()) * len(PROTOCOLS.names())


def measure(options: Options) -> list[Table]:
    seeds = 1 if options.quick else SEEDS
    with tempfile.TemporaryDirectory() as results:
        matrix = ["matrix", "--dry-run", *EVERYTHING, "--seeds", f"0-{seeds - 1}", "--results", results]
        sides = {
            "python -c pass": process("pass"),
            "import torch": process("import torch"),
            "import the planner": process("from ssl_bench.planning.planner import Planner"),
            "ssl-bench matrix --dry-run": process(COMMAND, *matrix),
        }
        times = interleaved(sides, options)
    rows = [{"process": name, "seconds": spread(taken)} for name, taken in times.items()]
    return [{"title": f"Planning {evaluations(seeds):,} evaluations", "rows": rows}]
