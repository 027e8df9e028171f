"""One downstream training with one learning rate, which may be interrupted at any step and go on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_bench.api.protocol import ProtocolSettings, Training
from ssl_bench.api.settings import OptimiserSettings
from ssl_bench.nn.transfer import moved
from ssl_bench.training.attempt import State
from ssl_bench.training.averaging import Average
from ssl_bench.training.goal import HIGHER, Goal
from ssl_bench.training.loss_curve import LossCurve
from ssl_bench.training.optimisation import build_optimiser, build_schedule, descend, learning_rate, require_finite
from ssl_bench.training.run_log import RunLog

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Fit(NamedTuple):
    """How one training went, as far as it has come."""

    learning_rate: float
    steps: int
    curve: list[dict[str, float]]
    best_step: int
    best_score: float
    best: dict[str, Tensor]
    """The module's weights at the best step."""


class Descent:
    """Trains the module of `training`, which it changes in place, with one of its optimisers."""

    def __init__(
        self,
        fabric: Fabric,
        training: Training,
        settings: ProtocolSettings,
        optimiser: OptimiserSettings,
        validate: Callable[[], float],
        log: RunLog,
        before: int,
        state: State | None = None,
        goal: Goal = HIGHER,
    ) -> None:
        """Begin at the module's weights, or go on from `state`; in the log `before` steps of others came first."""
        self.fabric = fabric
        self.training = training
        self.settings = settings
        self.clip = optimiser.gradient_clip
        self.validate = validate
        self.log = log
        self.before = before
        self.goal = goal
        module = training.module
        self.average = Average(module) if training.search else None
        made = build_optimiser(module.parameters(), optimiser)
        self.schedule = build_schedule(made, optimiser, settings.steps)
        self.wrapped, self.optimiser = fabric.setup(module, made)
        self.fit = Fit(optimiser.learning_rate, 0, [], 0, goal.worst, module.state_dict())
        losses: Sequence[float] = ()
        if state:
            module.load_state_dict(state["module"])
            self.optimiser.load_state_dict(state["optimiser"])
            if self.average:
                self.average.load(state["average"], state["fit"]["steps"])
            self.fit, losses = Fit(**state["fit"]), state["losses"]
        self.losses = LossCurve("training", losses, log, before)

    def state(self) -> State:
        """All that going on needs."""
        return {
            "module": self.training.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.weights if self.average else {},
            "losses": self.losses.read(),
            "fit": self.fit._asdict(),
        }

    def train(self, until: int, step_done: Callable[[str], None], patience: int | None = None) -> None:
        """Train up to step `until`, or until `patience` validations brought no gain; `step_done` gets a few words."""
        while self.fit.steps < until and not (patience and self.goal.has_stopped_gaining(self._scores(), patience)):
            self._step(until)
            step_done(str(self.losses))

    def _step(self, until: int) -> None:
        step, module = self.fit.steps, self.training.module
        inputs, targets = self.training.draw(step)
        output = self.wrapped(*(on_device(self.fabric, tensor) for tensor in inputs))
        loss = self.training.loss(output, moved(targets, self.fabric.device))
        self.losses.add(loss)
        self.log.add("training", {"learning_rate": learning_rate(self.schedule)}, self.before + step)
        descend(self.fabric, self.wrapped, self.optimiser, loss, self.clip)
        self.schedule.step_update(step + 1)
        if self.average:
            self.average.add(module)
        self.fit = self.fit._replace(steps=step + 1)
        if (step + 1) % self.settings.validate_every == 0 or step + 1 == until:
            self._validate()
            self.log.add_all("validation", self.fit.curve[-1:], self.before)

    def _validate(self) -> None:
        fit, module = self.fit, self.training.module
        require_finite(module, fit.steps)
        loss = float(np.mean(self.losses.read()[-self.settings.validate_every :]))
        own = copy.deepcopy(module.state_dict()) if self.average else None
        if self.average:
            self.average.put_into(module)
        score = self.validate()
        fit = fit._replace(curve=[*fit.curve, {"step": fit.steps, "score": score, "loss": loss}])
        # Ties go to the later step, as in the released code; an undefined score never beats a defined one.
        if fit.best_step == 0 or not self.goal.beats(fit.best_score, score):
            fit = fit._replace(best_step=fit.steps, best_score=score, best=copy.deepcopy(module.state_dict()))
        if own is not None:
            module.load_state_dict(own)
        self.fit = fit

    def _scores(self) -> list[float]:
        return [look["score"] for look in self.fit.curve]


def on_device(fabric: Fabric, tensor: Tensor) -> Tensor:
    """`tensor` where the network is, volumes in the layout that its convolutions are fast in."""
    there = moved(tensor, fabric.device)
    return there.contiguous(memory_format=torch.channels_last_3d) if there.ndim == 5 else there
