"""Downstream training: every learning rate from the same start, the step that validates best kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.protocol import ProtocolSettings, Training
from ssl_bench.api.settings import OptimiserSettings
from ssl_bench.nn.losses import soft_dice_loss
from ssl_bench.nn.transfer import moved
from ssl_bench.training.attempt import Attempt, State
from ssl_bench.training.loss_curve import LossCurve
from ssl_bench.training.optimisation import build_optimiser, build_schedule, descend, learning_rate, require_finite
from ssl_bench.training.progress import Progress
from ssl_bench.training.run_log import SILENT, RunLog

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Fit(NamedTuple):
    """How one training went."""

    learning_rate: float
    curve: list[dict[str, float]]
    best_step: int
    best_score: float
    best: dict[str, Tensor]
    """The module's weights at the best step."""

    def beats(self, other: Fit) -> bool:
        """Whether its best validation score is higher; an undefined score never beats a defined one."""
        return self.best_score > other.best_score or (np.isnan(other.best_score) and not np.isnan(self.best_score))


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
    ) -> None:
        self.fabric = fabric
        self.training = training
        self.settings = settings
        self.validate = validate
        self.attempt = attempt
        self.cost = cost
        self.log = log

    def best(self, progress: Progress, title: str) -> Fit:
        """Train with every optimiser from the same start; leave the module with the weights that validate best."""
        module, optimisers = self.training.module, self.training.optimisers
        start = copy.deepcopy(module.state_dict()) if len(optimisers) > 1 else None
        found: State = self.attempt.state or {"ended": [], "current": None}
        ended = [Fit(**fit) for fit in found["ended"]]
        current: State | None = found["current"]
        with progress.track(title, self.settings.steps * len(optimisers)) as advance:
            for _ in range(steps_done(self.attempt, self.settings)):
                advance("resumed")
            for optimiser in optimisers[len(ended) :]:
                if start is not None:
                    module.load_state_dict(start)
                ended.append(self._fit(optimiser, ended, current, advance))
                current = None
        best = ended[0]
        for fit in ended[1:]:
            best = fit if fit.beats(best) else best
        module.load_state_dict(best.best)
        return best

    def _fit(
        self, settings: OptimiserSettings, ended: list[Fit], resumed: State | None, advance: Callable[[str], None]
    ) -> Fit:
        module, every, steps = self.training.module, self.settings.validate_every, self.settings.steps
        optimiser = build_optimiser(module.parameters(), settings)
        schedule = build_schedule(optimiser, settings, steps)
        wrapped, optimiser = self.fabric.setup(module, optimiser)
        # In the log, one training follows the other.
        first, before = 0, steps * len(ended)
        losses = LossCurve("training", log=self.log, before=before)
        fit = Fit(settings.learning_rate, [], 0, -np.inf, module.state_dict())
        if resumed:
            module.load_state_dict(resumed["module"])
            optimiser.load_state_dict(resumed["optimiser"])
            first, fit = resumed["step"], Fit(**resumed["fit"])
            losses = LossCurve("training", resumed["losses"], self.log, before)
            self.log.add_all("validation", fit.curve, before)

        def state() -> State:
            current = {
                "step": step + 1,
                "module": module.state_dict(),
                "optimiser": optimiser.state_dict(),
                "losses": losses.read(),
                "fit": fit._asdict(),
            }
            return {"ended": [each._asdict() for each in ended], "current": current}

        for step in range(first, steps):
            inputs, targets = self.training.draw(step)
            logits = wrapped(*(on_device(self.fabric, tensor) for tensor in inputs))
            loss = _loss(logits, moved(targets, self.fabric.device))
            losses.add(loss)
            self.log.add("training", {"learning_rate": learning_rate(schedule)}, before + step)
            descend(self.fabric, wrapped, optimiser, loss, settings.gradient_clip)
            schedule.step_update(step + 1)
            if (step + 1) % every == 0 or step + 1 == steps:
                fit = self._validated(fit, step + 1, float(np.mean(losses.read()[-every:])))
                self.log.add_all("validation", fit.curve[-1:], before)
            advance(str(losses))
            self.attempt.step_done(state, self.cost)
        return fit

    def _validated(self, fit: Fit, step: int, loss: float) -> Fit:
        require_finite(self.training.module, step)
        score = self.validate()
        fit = fit._replace(curve=[*fit.curve, {"step": step, "score": score, "loss": loss}])
        # Ties go to the later step, as in the released code; an undefined score never beats a defined one.
        if fit.best_step == 0 or score >= fit.best_score or np.isnan(fit.best_score):
            weights = copy.deepcopy(self.training.module.state_dict())
            return fit._replace(best_step=step, best_score=score, best=weights)
        return fit


def steps_done(attempt: Attempt, settings: ProtocolSettings) -> int:
    """The steps of all trainings that `attempt` has behind it when it begins."""
    if not attempt.state:
        return 0
    current = attempt.state["current"]
    return settings.steps * len(attempt.state["ended"]) + (current["step"] if current else 0)


def on_device(fabric: Fabric, tensor: Tensor) -> Tensor:
    """`tensor` where the network is, volumes in the layout that its convolutions are fast in."""
    there = moved(tensor, fabric.device)
    return there.contiguous(memory_format=torch.channels_last_3d) if there.ndim == 5 else there


def _loss(logits: Tensor, targets: Tensor) -> Any:
    """Soft Dice over all classes for a segmentation, binary cross-entropy for a classification; in float32."""
    if targets.is_floating_point():
        return F.binary_cross_entropy_with_logits(logits.float(), targets)
    return soft_dice_loss(logits, targets)
