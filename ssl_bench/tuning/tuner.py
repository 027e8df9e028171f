"""Running trials until every row has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell
from ssl_bench.tuning.halving import Standing
from ssl_bench.tuning.trials import Trials

Run = Callable[[Sequence[Cell]], str | None]
"""Has cells run: None when they have ended, or what to tell the user where they run later."""


def run_trials(trials: Trials, run: Run, say: Callable[[str], None]) -> str | None:
    """Have `run` run the trials of all rows, as many at a time as are known to be needed.

    None when every row has ended; else what `run` said of cells that run later, after which the same call goes on.
    Raises UserError if cells neither ended nor run later. `say` gets a line before each round.
    """
    before: set[str] = set()
    while True:
        standings = {method: trials.standing(method) for method in trials.search.methods}
        asked = [(method, trial) for method, found in standings.items() for trial in found.asked]
        cells = [cell for method, trial in asked for cell in trials.left_to_run(method, trial)]
        if not cells:
            return None
        if before == (before := {cell.key for cell in cells}):
            raise UserError(f"--results {trials.store.folder}: {len(cells)} trials left no record; free some room")
        say(f"tuning: {len(asked)} trials, {len(cells)} cells; {_spent(trials, standings)}")
        later = run(cells)
        if later is not None:
            return later


def rerun_failed(trials: Trials, run: Run) -> str | None:
    """Have `run` try the failed cells once more; None when they have ended, else what it said."""
    ended = [(method, trial) for method in trials.search.methods for trial in trials.standing(method).ended]
    failed = [cell for method, trial in ended for cell in trials.failed(method, trial)]
    return run(failed) if failed else None


def _spent(trials: Trials, standings: Mapping[str, Standing]) -> str:
    """What rows have used, and about what is left, judged by their own trials or, without any, by those of others."""
    spent = sum(found.seconds for found in standings.values())
    costs = {method: cost for method, found in standings.items() if (cost := _cost(trials, method, found))}
    if not costs:
        return "how long it will take is not known yet"
    left = 0.0
    for method, found in standings.items():
        whole = costs.get(method, fmean(costs.values())) * float(planned_share(trials, method))
        left += max(0.0, min(whole, trials.search.device_seconds or whole) - found.seconds) if found.asked else 0.0
    return f"{spent:.0f} device-seconds used, about {left:.0f} left"


def _cost(trials: Trials, method: str, found: Standing) -> float:
    """Device-seconds of a trial with all of the steps; 0 before any has ended."""
    rounds = trials.rungs(method)
    share = sum(rounds[trial.rung].share for trial in found.ended)
    return found.seconds / float(share) if share else 0.0


def planned_share(trials: Trials, method: str) -> float:
    """How many trials with all of the steps a row's would amount to without a limit."""
    return float(sum(rung.share * rung.size for rung in trials.rungs(method)))
