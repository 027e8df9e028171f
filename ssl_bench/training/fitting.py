"""Downstream training: every learning rate from the same start, the step that validates best kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from ssl_bench.api.protocol import ProtocolSettings, Search, Training
from ssl_bench.api.settings import OptimiserSettings
from ssl_bench.spec.record import has_converged
from ssl_bench.training.attempt import Attempt, State
from ssl_bench.training.descent import Descent, Fit
from ssl_bench.training.goal import HIGHER, Goal
from ssl_bench.training.progress import Progress
from ssl_bench.training.run_log import SILENT, RunLog

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Outcome(NamedTuple):
    """How all trainings of a cell went."""

    best: Fit
    """The one whose best step is tested."""
    steps: int
    """The updates of all trainings together."""
    interior: bool | None
    """Whether a lower and a higher learning rate than the best were tried; None where one alone was."""
    converged: bool
    """Whether the best one ended because validation had stopped to gain, or else reached its best score in time."""


class Fitting:
    """Trains what a protocol prepared, from wherever an earlier attempt stood."""

    def __init__(
        self,
        fabric: Fabric,
        training: Training,
        settings: ProtocolSettings,
        validate: Callable[[], float],
        attempt: Attempt,
        cost: Callable[[], dict[str, float]],
        log: RunLog = SILENT,
        goal: Goal = HIGHER,
    ) -> None:
        self.fabric = fabric
        self.training = training
        self.settings = settings
        self.validate = validate
        self.attempt = attempt
        self.cost = cost
        self.log = log
        self.goal = goal
        self.ended: list[Fit] = []
        """The trainings with each optimiser so far; under a search, their pilots."""
        self._leader: State = {}
        """Under a search, from where the best pilot goes on."""

    def best(self, progress: Progress, title: str) -> Outcome:
        """Train with every optimiser from the same start; leave the module with the weights that validate best."""
        module, search = self.training.module, self.training.search
        start: dict[str, Tensor] = copy.deepcopy(module.state_dict())
        found: State = self.attempt.state or {"ended": [], "leader": {}, "current": None}
        self.ended, self._leader = [Fit(**fit) for fit in found["ended"]], found["leader"]
        current: State | None = found["current"]
        if current:
            self.log.add_all("validation", current["fit"]["curve"], found["made"] - current["fit"]["steps"])
        trainings = 1 if search else len(self.training.optimisers)
        with progress.track(title, self.settings.steps * trainings) as advance:
            for _ in range(steps_done(self.attempt)):
                advance("resumed")
            while optimiser := self._next_optimiser():
                module.load_state_dict(start)
                self._pilot(optimiser, current, advance)
                current = None
            best = self._leading()
            if search:
                best = self._finish(current or self._leader, search, advance)
        module.load_state_dict(best.best)
        return self._outcome(best)

    def _next_optimiser(self) -> OptimiserSettings | None:
        """The next of the grid; then, while the best so far lies at its edge, the next rate beyond."""
        grid, search, tried = self.training.optimisers, self.training.search, len(self.ended)
        if tried < len(grid):
            return grid[tried]
        if search is None or tried == len(grid) + search.extensions or self._interior():
            return None
        rate = self._leading().learning_rate
        at_top = rate == max(fit.learning_rate for fit in self.ended)
        beyond = rate * search.ratio if at_top else rate / search.ratio
        return grid[0].model_copy(update={"learning_rate": beyond})

    def _pilot(self, optimiser: OptimiserSettings, current: State | None, advance: Callable[[str], None]) -> None:
        """Train with `optimiser`; under a search for a while, and so that a rate that diverges only loses."""
        search = self.training.search
        descent = self._descent(optimiser, self._made(), current)
        try:
            descent.train(search.pilot_steps if search else self.settings.steps, self._done(descent, advance))
        except FloatingPointError:
            if search is None:
                raise
            self.ended.append(descent.fit._replace(best_score=self.goal.worst))
            return
        leads = not self.ended or self.goal.beats(descent.fit.best_score, self._leading().best_score)
        self.ended.append(descent.fit)
        if search and leads:
            self._leader = copy.deepcopy(descent.state())

    def _finish(self, state: State, search: Search, advance: Callable[[str], None]) -> Fit:
        """Go on with the best rate until validation has stopped to gain, or its share of the budget is spent.

        The share is what the pilots leave when all extensions are tried: cells that tried fewer train no longer.
        """
        if not state:
            raise FloatingPointError("the training diverged under every learning rate of the grid")
        leading = self._leading()
        others = self._made() - leading.steps
        optimiser = self.training.optimisers[0].model_copy(update={"learning_rate": leading.learning_rate})
        descent = self._descent(optimiser, others, state)
        most_others = len(self.training.optimisers) - 1 + search.extensions
        share = self.settings.steps - most_others * search.pilot_steps
        descent.train(share, self._done(descent, advance), search.patience)
        return descent.fit

    def _descent(self, optimiser: OptimiserSettings, before: int, state: State | None) -> Descent:
        fixed = (self.fabric, self.training, self.settings)
        return Descent(*fixed, optimiser, self.validate, self.log, before, state, self.goal)

    def _done(self, descent: Descent, advance: Callable[[str], None]) -> Callable[[str], None]:
        """What is done after each step of `descent`."""

        def state() -> State:
            ended = [fit._asdict() for fit in self.ended]
            made = descent.before + descent.fit.steps
            return {"ended": ended, "leader": self._leader, "current": descent.state(), "made": made}

        def step_done(words: str) -> None:
            advance(words)
            self.attempt.step_done(state, self.cost)

        return step_done

    def _leading(self) -> Fit:
        """The best training so far; of two that are equally good the earlier."""
        best = self.ended[0]
        for fit in self.ended[1:]:
            best = fit if self.goal.beats(fit.best_score, best.best_score) else best
        return best

    def _interior(self) -> bool:
        rates = [fit.learning_rate for fit in self.ended]
        return min(rates) < self._leading().learning_rate < max(rates)

    def _made(self) -> int:
        return sum(fit.steps for fit in self.ended)

    def _outcome(self, best: Fit) -> Outcome:
        search, made = self.training.search, self._made()
        interior = self._interior() if len(self.ended) > 1 else None
        if search is None:
            return Outcome(best, made, interior, has_converged(best.best_step, self.settings.steps))
        converged = self.goal.has_stopped_gaining([look["score"] for look in best.curve], search.patience)
        return Outcome(best, made - self._leading().steps + best.steps, interior, converged)


def steps_done(attempt: Attempt) -> int:
    """The steps of all trainings that `attempt` has behind it when it begins."""
    return attempt.state["made"] if attempt.state else 0
