"""``run`` and ``cell``: the cells of one method on one task, and one planned cell."""

from __future__ import annotations

from typing import Annotated

import typer

from ssl_bench.api.registry import PROTOCOLS, resolve_protocol
from ssl_bench.api.shift import resolve_shifts
from ssl_bench.cli import options
from ssl_bench.cli.option_groups import CorpusData, PretrainingExecution, Resolution, Start, TaskData, with_groups
from ssl_bench.cli.planning import (
    check_rows,
    check_start,
    further_asked,
    locations_of,
    names,
    plan_with,
    without_pointless,
)
from ssl_bench.cli.running import run_and_print


@with_groups
def run(
    *,
    method: options.Method,
    task: options.Task,
    protocol: options.Protocols = "linear,finetune",
    backbone: options.Network = None,
    seed: options.Seed = 0,
    start: Start,
    resolution: Resolution,
    execution: PretrainingExecution,
    data: TaskData,
    corpus_data: CorpusData,
    skip_problems: options.SkipProblems = False,
    store: options.StoreOption = None,
    reset: options.ResetOption = options.Reset.none,
    shifts: options.Shifts = "",
    snapshots: options.Snapshots = None,
    rerun: options.RerunOption = options.Rerun.missing,
) -> None:
    """Pre-train a method, evaluate it on a task, and keep the records.

    Example: ssl-bench run --method gvsl --task sbm
    """
    asked = resolve_shifts(shifts)
    check_rows([method])
    check_start(start, [method], "--method")
    protocols = names(protocol, "--protocol", PROTOCOLS.names)
    for name in protocols:
        resolve_protocol(name)
    (task,), locations = locations_of([task], data, corpus_data, skip_problems, store)
    resolution = resolution.on_network(backbone)
    planner, runtime = plan_with(resolution, execution, locations, data.fold, data.label_fraction, data.stem, start)
    cells = [planner.evaluation(method, task, name, seed, reset.value) for name in protocols]
    run_and_print(further_asked(without_pointless(cells), asked, snapshots), execution, runtime, rerun)


@with_groups
def cell(
    key: Annotated[str, typer.Argument(help="A planned cell: 16 hexadecimal digits.")], execution: PretrainingExecution
) -> None:
    """Run one planned cell from the store; return at once if its record exists."""
    from ssl_bench.planning.registration import register

    planned = execution.store().load_plan(key)
    register(planned)
    run_and_print([planned], execution, execution.runtime())
