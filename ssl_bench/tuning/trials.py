"""Trials as cells: a configuration with a share of the steps, on every development task and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from math import ceil, inf, isnan
from statistics import fmean

from pydantic import PositiveFloat, PositiveInt

from ssl_bench.api.metric import METRICS, Metric
from ssl_bench.api.registry import METHODS, TASKS, resolve_protocol
from ssl_bench.api.settings import Preset, Settings
from ssl_bench.data.sources import DataSources
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord
from ssl_bench.store.store import Store
from ssl_bench.tuning.halving import Result, Rung, Standing, Trial, rungs, standing
from ssl_bench.tuning.space import Configuration, configurations, space_of

FOLDER = "tuning"
"""The folder of the results in which trials are kept: a store of its own, which no report reads."""


class Search(Settings):
    """What every row is given alike."""

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    protocol: str
    seeds: tuple[int, ...]
    configurations: PositiveInt
    device_seconds: PositiveFloat | None = None
    """At most so many for each row; None for no limit."""
    sampling_seed: int = 0

    def check(self, compared: Iterable[int]) -> None:
        """Raise UserError for unknown names, for tasks of several metrics, and for seeds that were `compared`."""
        for name in self.methods:
            METHODS.check(name)
        for name in self.tasks:
            TASKS.check(name)
        resolve_protocol(self.protocol)
        metrics = {TASKS.load(task).facts.metric for task in self.tasks}
        if len(metrics) > 1:
            raise UserError(
                f"--tasks {','.join(self.tasks)}: no mean of {' and '.join(sorted(metrics))} means anything; tune on "
                "tasks of one metric"
            )
        if metrics == {"MAE"} and len(self.tasks) > 1:
            raise UserError(
                f"--tasks {','.join(self.tasks)}: no mean of errors in several units means anything; tune on one"
            )
        if both := sorted({*self.seeds} & {*compared}):
            raise UserError(
                f"--seeds {','.join(map(str, self.seeds))}: the records there compare methods by seed {both[0]}; tune "
                "with seeds that compare nothing"
            )

    def check_splits(self, data: DataSources) -> None:
        """Raise UserError for a task in folds: what one of them validates on, others test."""
        for name in self.tasks:
            if data.task(name).cross_validation:
                raise UserError(
                    f"--tasks {name}: is cross-validated, and cases that choose options in one fold are tested in "
                    "others; tune on one split: --split FILE, or --set sizing.folds_below=0 under preset real"
                )


class Trials:
    """The trials of all rows of a search, and how they ended in a store."""

    def __init__(self, search: Search, planner: Planner, store: Store) -> None:
        self.search = search
        self.planner = planner
        self.store = store
        self._results: dict[tuple[str, Trial], Result] = {}
        self._planner = cache(planner.changed)
        self.configurations = cache(self._configurations)
        self.cells = cache(self._cells)

    @property
    def metric(self) -> Metric:
        """By which trials are scored; a score is of the sign under which higher is better."""
        return METRICS[TASKS.load(self.search.tasks[0]).facts.metric]

    def standing(self, method: str) -> Standing:
        """How far the row of `method` has come."""
        budget = self.search.device_seconds or inf
        return standing(self.rungs(method), lambda trial: self._result(method, trial), budget)

    def rungs(self, method: str) -> list[Rung]:
        """The rounds of a row; a single one where it has no option to search."""
        return rungs(len(self.configurations(method)))

    def left_to_run(self, method: str, trial: Trial) -> list[Cell]:
        """The cells of a trial that have not ended."""
        return [cell for cell in self.cells(method, trial) if self._record(cell) is None]

    def failed(self, method: str, trial: Trial) -> list[Cell]:
        """The cells of a trial that failed."""
        return [cell for cell in self.cells(method, trial) if self.store.has_failed(cell)]

    def digest(self, method: str) -> str:
        """What tells the trials that count for `method` from any others: their cells and scores."""
        lines = [
            [trial.number, trial.rung, [[cell.key, getattr(self._record(cell), "score", None)] for cell in cells]]
            for trial in self.standing(method).ended
            for cells in [self.cells(method, trial)]
        ]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]

    def _configurations(self, method: str) -> list[Configuration]:
        volumes = self.planner.data.corpus.describe().volumes
        space = space_of(method, self.search.protocol, volumes)
        return configurations(space, self.search.configurations, self.search.sampling_seed)

    def _cells(self, method: str, trial: Trial) -> list[Cell]:
        """One for each task and seed."""
        options = self.configurations(method)[trial.number]
        changes = [f"methods.{method}.{name}={json.dumps(value)}" for name, value in options.items()]
        changes += shortened(self.planner.preset, self.search.protocol, self.rungs(method)[trial.rung].share)
        planner = self._planner(tuple(changes))
        return [
            planner.evaluation(method, task, self.search.protocol, seed, scored_on="validation")
            for task in self.search.tasks
            for seed in self.search.seeds
        ]

    def _result(self, method: str, trial: Trial) -> Result | None:
        """How a trial ended: the mean validation score over tasks and seeds. None while a cell of it has not ended."""
        if (method, trial) not in self._results:
            cells = self.cells(method, trial)
            records = [record for cell in cells if (record := self._record(cell))]
            if len(records) < len(cells):
                return None
            below = {cell.pretraining.key: cell.pretraining for cell in cells if cell.pretraining}
            spent = [*records, *(record for cell in below.values() if (record := self._record(cell)))]
            seconds = sum(record.cost.get("device_seconds", 0.0) for record in spent)
            result = Result(_mean_score(records, self.metric.sign), seconds)
            if result.score == -inf:
                return result  # which may be tried once more
            self._results[method, trial] = result
        return self._results[method, trial]

    def _record(self, cell: Cell) -> AnyRecord | None:
        """How a cell ended, with a success or a failure."""
        return self.store.record(cell) or self.store.last_failure(cell)


def shortened(preset: Preset, protocol: str, share: Fraction) -> list[str]:
    """The changes to `preset` under which pre-training and `protocol` take a `share` of their steps.

    Warm-ups and the steps between two validations shrink with them. Raises UserError for a protocol that the preset has
    no settings for.
    """
    if share == 1:
        return []
    settings = preset.protocols.get(protocol, {})
    if not {"steps", "validate_every", "optimiser"} <= settings.keys():
        raise UserError(
            f"--protocol {protocol}: preset {preset.name} has no steps for it; give --set protocols.{protocol}"
        )
    pretraining = preset.pretraining
    whole = {
        "pretraining.steps": pretraining.steps,
        f"protocols.{protocol}.steps": settings["steps"],
        f"protocols.{protocol}.validate_every": settings["validate_every"],
    }
    warmups = {
        "pretraining.optimiser.warmup_steps": pretraining.optimiser.warmup_steps,
        f"protocols.{protocol}.optimiser.warmup_steps": settings["optimiser"].get("warmup_steps", 0),
    }
    return [
        *(f"{name}={ceil(share * steps)}" for name, steps in whole.items()),
        *(f"{name}={round(share * steps)}" for name, steps in warmups.items()),
    ]


def _mean_score(records: Sequence[AnyRecord], sign: float) -> float:
    """The mean score times `sign`; minus infinity where a cell failed or its score is undefined."""
    scores = [getattr(record, "score", None) for record in records if record.status == "ok"]
    found = [score for score in scores if score is not None and not isnan(score)]
    return sign * fmean(found) if len(found) == len(records) else -inf
