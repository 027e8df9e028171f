"""What scheduling costs: the wall time of a matrix on one slot that none of its cells accounts for.

`ssl-bench matrix --executor local` once, from the start of its process to its end, on one slot with all threads:
three methods fine-tuned on three tasks with the settings of `quick`, but more steps, so that a cell takes 20 seconds
or more. What is not inside a cell by its own record is what scheduling costs: starting two Pythons, planning, handing
out cells, opening the volumes, keeping weights, records and examples. The volumes are grown before.
"""

from __future__ import annotations

from benchmarks.matrix import grow_volumes, run_matrix
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, at_most, spread

TASKS = ("sac", "sbm", "shc")
METHODS = "scratch,models_genesis,gvsl"
LONGER = ("--set", "protocols.finetune-v1.steps=180", "--set", "protocols.finetune-v1.validate_every=90")
"""Cells of some 20 seconds and more; shorter ones would measure how short they are."""


def measure(options: Options) -> list[Table]:
    preset, tasks, methods = ("smoke", TASKS[-1:], "scratch") if options.quick else ("quick", TASKS, METHODS)
    grow_volumes(preset, tasks)
    arguments = ["--preset", preset, "--methods", methods, "--tasks", ",".join(tasks), "--protocols", "finetune-v1"]
    matrix = run_matrix([*arguments, *(() if options.quick else LONGER)], 1, options.threads, options.device)
    inside = [record.cost["wall_seconds"] for record in matrix.records]
    outside = 100 * (1 - sum(inside) / matrix.wall)
    rows: list[Row] = [
        {"what": "cells and pre-trainings", "figure": len(inside)},
        {"what": "seconds of the shortest", "figure": min(inside)},
        {"what": "seconds of all", "figure": sum(inside)},
        {"what": "seconds of the whole command", "figure": matrix.wall},
        {"what": "% of the command outside them", "figure": outside, **at_most(5, spread([outside]))},
    ]
    return [{"title": "A matrix on one slot", "rows": rows}]
