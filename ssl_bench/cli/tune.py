"""``tune``: every row's options, chosen on validation cases of development tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssl_bench.api.registry import METHODS, resolve_protocol
from ssl_bench.cli import options
from ssl_bench.cli.listings import aligned
from ssl_bench.cli.matrix import number_list
from ssl_bench.cli.option_groups import CorpusData, PretrainingExecution, Resolution, Scheduling, TaskData, with_groups
from ssl_bench.cli.planning import locations_of, names, placed, plan_with

if TYPE_CHECKING:
    from ssl_bench.planning.graph import Rerun
    from ssl_bench.spec.cell import Cell
    from ssl_bench.store.store import Store
    from ssl_bench.tuning.trials import Search, Trials


@dataclass(frozen=True)
class Asked:
    """What every row is given alike."""

    methods: Annotated[str, typer.Option(help="Rows to tune, comma-separated, or all.")] = "all"
    tasks: Annotated[
        str, typer.Option(help="Development tasks, also nnunet:DIR and folder:DIR: their validation cases choose.")
    ] = "shc,sbm"
    protocol: Annotated[
        str, typer.Option(help="Under which trials are scored.", autocompletion=options.complete_protocol)
    ] = "finetune"
    configurations: Annotated[int, typer.Option(min=1, help="So many of each row; the first has the defaults.")] = 8
    device_seconds: Annotated[
        float | None, typer.Option(min=1, help="A row that has used so many starts no further trial.")
    ] = None
    seeds: Annotated[str, typer.Option(help="Of the trials: seeds that compare nothing.")] = "1000,1001"
    sampling_seed: Annotated[int, typer.Option(min=0, help="Draws the configurations.")] = 0

    def search(self, tasks: Sequence[str]) -> Search:
        """That on `tasks`, by their names. Raises UserError for lists that are empty or hold something else."""
        from ssl_bench.tuning.trials import Search

        return Search(
            methods=tuple(names(self.methods, "--methods", lambda: options.usable_names(METHODS))),
            tasks=tuple(tasks),
            protocol=resolve_protocol(self.protocol),
            seeds=tuple(number_list(self.seeds, "--seeds")),
            configurations=self.configurations,
            device_seconds=self.device_seconds,
            sampling_seed=self.sampling_seed,
        )


@with_groups
def tune(
    *,
    asked: Asked,
    freeze: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Write the winners to a file for --tuned.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed trials once more.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many trials there are and their cost.")] = False,
    backbone: options.Network = None,
    resolution: Resolution,
    scheduling: Scheduling,
    execution: PretrainingExecution,
    data: TaskData,
    corpus_data: CorpusData,
    skip_problems: options.SkipProblems = False,
    store: options.StoreOption = None,
) -> None:
    """Find each row's options by successive halving, with the same trials and device-seconds for all of them.

    Trials are scored on validation cases and never read a test case. They are kept in the folder tuning of the results:
    the same command goes on where it stopped, and prints the table when every row has ended.

    Example: ssl-bench tune --preset small --device-seconds 3600 --freeze tuned.toml
    """
    from ssl_bench.executors.cells.work import Work
    from ssl_bench.store.store import Store
    from ssl_bench.training.progress import Progress
    from ssl_bench.tuning.trials import FOLDER, Trials
    from ssl_bench.tuning.tuner import rerun_failed, run_trials

    if freeze is not None:
        options.check_output(freeze, option="--freeze")
    executor, execution, resolution = placed(scheduling, execution, resolution.on_network(backbone))
    tasks, locations = locations_of(names(asked.tasks, "--tasks"), data, corpus_data, skip_problems, store)
    search, results = asked.search(tasks), execution.store()
    planner, runtime = plan_with(resolution, execution, locations, data.fold, data.label_fraction, data.stem)
    search.check(record.spec.seed for record in results.evaluations() if record.spec.scored_on == "test")
    search.check_splits(planner.data)
    trials = Trials(search, planner, Store(results.folder / FOLDER))
    if dry_run:
        print_plan(trials, results)
        return

    def run(cells: Sequence[Cell], rerun: Rerun = "missing") -> str | None:
        said = executor.run(Work(cells, trials.store, runtime, rerun, not execution.quiet))
        return said if isinstance(said, str) else None

    later = rerun_failed(trials, partial(run, rerun="failed")) if retry_failed else None
    if later is None:
        later = run_trials(trials, run, Progress(not execution.quiet).say)
    if later is None:
        print_outcomes(trials, freeze, execution.as_json)
    else:
        typer.echo(later, nl=bool(later))
        typer.echo("the same command goes on when these have ended", err=True)


def print_outcomes(trials: Trials, freeze: Path | None, as_json: bool) -> None:
    """What every row ended with, also in the file `freeze`; exit 1 if none of a row's trials succeeded."""
    from ssl_bench.tuning.outcome import HEADER, line_of, outcomes, write_frozen

    found = outcomes(trials)
    table = aligned([HEADER, *map(line_of, found)])
    typer.echo(json.dumps([row.model_dump() for row in found], indent=1) if as_json else table)
    if freeze is not None:
        write_frozen(trials, found, freeze)
        typer.echo(str(freeze), err=True)
    if any(row.options is None for row in found):
        raise typer.Exit(1)


def print_plan(trials: Trials, results: Store) -> None:
    """The trials of every row, how they are shortened, and what they will cost, judged by cells with all steps."""
    from ssl_bench.planning.estimate import estimate
    from ssl_bench.planning.graph import with_pretrainings
    from ssl_bench.tuning.halving import Trial
    from ssl_bench.tuning.tuner import planned_share

    search, records = trials.search, list(chain(results.records(), trials.store.records()))
    count, costs = 0, []
    for method in search.methods:
        rounds = trials.rungs(method)
        count += sum(rung.size for rung in rounds)
        shape = ", ".join(f"{rung.size} with {rung.share} of the steps" for rung in rounds)
        expected = estimate(with_pretrainings(trials.cells(method, Trial(0, len(rounds) - 1))), records)
        if expected.unjudged:
            typer.echo(f"{method:20} {shape}")
            continue
        cost = expected.hours * 3600 * planned_share(trials, method)
        costs.append(min(cost, search.device_seconds or cost))
        typer.echo(f"{method:20} {shape}; about {cost:.0f} device-seconds")
    evaluations = len(search.tasks) * len(search.seeds)
    typer.echo(f"{len(search.methods)} rows, {count} trials of {evaluations} evaluations each")
    if not costs:
        typer.echo("device-hours: nothing to estimate from; no cell of this setting has ended yet")
        return
    unjudged = len(search.methods) - len(costs)
    more = f", and {unjudged} rows unlike any that ended" if unjudged else ""
    typer.echo(f"about {sum(costs) / 3600:.2g} device-hours{more}, judged by the records of this setting")
