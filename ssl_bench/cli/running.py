"""Running cells for a command, and saying how they ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from ssl_bench.cli import options
from ssl_bench.cli.option_groups import Execution
from ssl_bench.cli.planning import warn

if TYPE_CHECKING:
    from ssl_bench.api.executor import Executor
    from ssl_bench.spec.cell import Cell
    from ssl_bench.spec.record import AnyRecord
    from ssl_bench.store.store import Store
    from ssl_bench.training.runtime import Runtime


def run_and_print(
    cells: Sequence[Cell],
    execution: Execution,
    runtime: Runtime,
    rerun: options.Rerun = options.Rerun.missing,
    executor: Executor | None = None,
) -> None:
    """Have `executor` run `cells`, by default in this process; print how they ended, exit 1 if one failed."""
    from ssl_bench.api.executor import Devices, ExecutorSettings
    from ssl_bench.executors.cells.work import Work
    from ssl_bench.executors.inline import Inline

    executor = executor or Inline(ExecutorSettings(), Devices())
    records = executor.run(Work(cells, execution.store(), runtime, rerun.value, not execution.quiet))
    if isinstance(records, str):
        typer.echo(records, nl=bool(records))
        return
    if execution.as_json:
        typer.echo(json.dumps([record.model_dump(mode="json") for record in records], indent=1))
    else:
        print_records(records)
    warn_of_collapse(cells, execution.store())
    if any(record.status == "failed" for record in records):
        raise typer.Exit(1)


def warn_of_collapse(cells: Iterable[Cell], store: Store) -> None:
    """Say on stderr which stages the pre-trainings of `cells` left collapsed, with figures and a way out."""
    from ssl_bench.spec.collapse import COLLAPSED_SHARE, WAY_OUT

    pretrainings = {cell.key: cell for each in cells if (cell := each.pretraining or each).kind == "pretraining"}
    for cell in pretrainings.values():
        record = store.record(cell)
        if record is not None and record.kind == "pretraining" and record.collapsed:
            stages = "; ".join(map(str, record.collapsed))
            warn(
                f"{cell.title}: collapsed stages, below {COLLAPSED_SHARE:.0%} of the effective rank they began with: "
                f"{stages}; {WAY_OUT}"
            )


def print_records(records: Sequence[AnyRecord]) -> None:
    """One line a record on stdout, and what the numbers mean."""
    from ssl_bench.executors.cells.outcomes import outcome

    for record in records:
        place, step, row = "", "", record.spec.method if record.kind == "pretraining" else record.spec.row
        if record.kind == "evaluation":
            fold = f"fold {record.spec.data.fold}, " if record.spec.data.fold else ""
            step = f", step {record.spec.snapshot}" if record.spec.snapshot else ""
            place = f"{record.spec.task:5} {record.spec.protocol:12} {fold}"
        typer.echo(f"{row:16} {place}seed {record.spec.seed}{step}  {outcome(record)}  [{record.key}]")
    if any(record.data.startswith("semi-real") for record in records):
        typer.echo("Scores are on semi-real data grown from one anatomy: not comparable with any paper's.")
