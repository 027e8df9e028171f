"""The search for a learning rate: pilots, extension to an interior best, patience, budget; scores are scripted here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from ssl_bench.api.protocol import BatchSettings, SearchSettings, Training
from ssl_bench.api.settings import OptimiserSettings
from ssl_bench.nn.losses import binary_cross_entropy_loss
from ssl_bench.training import descent as descent_module
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.descent import Descent
from ssl_bench.training.fitting import Fitting, Outcome
from ssl_bench.training.goal import HIGHER
from ssl_bench.training.optimisation import build_optimiser
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, make_fabric

CENTRE, STEPS, PILOT = 1.0, 100, 10
SGD = OptimiserSettings(name="sgd", learning_rate=CENTRE, schedule="constant", warmup_steps=0, gradient_clip=0.0)


@dataclass
class Scripted:
    """A search whose validation scores are a function of the learning rate and the step."""

    score: Callable[[float, int], float]
    monkeypatch: pytest.MonkeyPatch
    extensions: int = 2
    ratio: float = 3.0
    diverging: tuple[float, ...] = ()
    tried: list[float] = field(default_factory=list)
    validated: list[tuple[float, int]] = field(default_factory=list)

    def run(self) -> Outcome:
        settings = SearchSettings(
            steps=STEPS, batch=BatchSettings(segmentation=1, classification=2), validate_every=5, optimiser=SGD,
            patience=3, extensions=self.extensions, learning_rate_ratio=self.ratio, pilot=PILOT / STEPS,
        )  # fmt: skip
        self.module = torch.nn.Linear(3, 1)
        self.steps = 0
        search, optimisers = settings.search(), settings.optimisers()
        training = Training(self.module, self._draw, optimisers, binary_cross_entropy_loss, search)
        self.monkeypatch.setattr(descent_module, "build_optimiser", self._build)
        fabric = make_fabric(Runtime("cpu", 1), "float32")
        fitting = Fitting(fabric, training, settings, self._validate, Attempt(), dict)
        return fitting.best(Progress(shown=False), "test")

    def _build(self, parameters: object, settings: OptimiserSettings) -> torch.optim.Optimizer:
        self.tried.append(settings.learning_rate)
        return build_optimiser(parameters, settings)  # type: ignore[arg-type]

    def _draw(self, step: int) -> tuple[tuple[Tensor, ...], Tensor]:
        self.steps = step + 1
        scale = math.inf if self.tried[-1] in self.diverging else 1.0
        return (torch.full((2, 3), scale),), torch.ones(2)

    def _validate(self) -> float:
        self.validated.append((self.tried[-1], self.steps))
        return self.score(self.tried[-1], self.steps)


def peaked(at: float, stops_at: int = 1000) -> Callable[[float, int], float]:
    """Best at one rate, and gaining until a step."""
    return lambda rate, step: 0.5 - 0.01 * abs(math.log(rate / at)) + 0.004 * min(step, stops_at)


@pytest.fixture(autouse=True)
def flat_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module of these tests gives (B, 1), its targets are (B,)."""
    monkeypatch.setattr(torch.nn.Linear, "forward", lambda self, x: (x @ self.weight.T + self.bias).flatten())


@pytest.mark.parametrize(
    ("best", "tried", "interior"),
    [
        (1.0, [1, 1 / 3, 3], True),
        (3.0, [1, 1 / 3, 3, 9], True),
        (9.0, [1, 1 / 3, 3, 9, 27], True),
        (500.0, [1, 1 / 3, 3, 9, 27], False),
        (1 / 9, [1, 1 / 3, 3, 1 / 9, 1 / 27], True),
    ],
)
def test_the_grid_grows_towards_the_best_rate_until_it_is_interior_or_the_extensions_are_spent(
    best: float, tried: list[float], interior: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = Scripted(peaked(best), monkeypatch)
    found = scripted.run()
    assert scripted.tried[:-1] == pytest.approx(tried)
    assert (
        found.best.learning_rate
        == scripted.tried[-1]
        == pytest.approx(min(tried, key=lambda r: abs(math.log(r / best))))
    )
    assert found.interior == interior


@pytest.mark.parametrize(("best", "extended"), [(1.0, 0), (3.0, 1), (9.0, 2)])
def test_the_budget_holds_for_all_trainings_together_and_the_best_trains_as_long_however_many_were_tried(
    best: float, extended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Scripted(peaked(best), monkeypatch).run()
    assert found.steps == STEPS - (2 - extended) * PILOT
    assert found.best.steps == STEPS - 4 * PILOT
    assert [look["step"] for look in found.best.curve] == list(range(5, 61, 5))
    assert not found.converged, "it was still gaining"


def test_without_a_ratio_the_one_rate_trains_for_the_whole_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = Scripted(peaked(9.0), monkeypatch, extensions=0, ratio=1.0)
    found = scripted.run()
    assert set(scripted.tried) == {CENTRE}
    assert found.best.steps == found.steps == STEPS
    assert [look["step"] for look in found.best.curve] == list(range(5, 101, 5))
    assert found.interior is None, "no other rate was tried"
    with pytest.raises(ValueError, match="learning_rate_ratio=1 tries one learning rate; set extensions=0"):
        Scripted(peaked(9.0), monkeypatch, extensions=1, ratio=1.0).run()


def test_a_training_ends_when_validation_has_stopped_to_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Scripted(peaked(1.0, stops_at=30), monkeypatch).run()
    assert found.best.steps == 45, "three validations after the last gain"
    assert found.steps == 45 + 2 * PILOT
    assert found.converged


def test_of_rates_that_are_equally_good_the_middle_one_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Scripted(lambda rate, step: 0.0, monkeypatch).run()
    assert (found.best.learning_rate, found.interior) == (CENTRE, True)
    assert found.best.steps == STEPS - 4 * PILOT, "a score of zero has not begun to gain"
    assert not found.converged


def test_a_rate_that_diverges_only_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Scripted(peaked(500.0), monkeypatch, diverging=(3.0,)).run()
    assert found.best.learning_rate == CENTRE
    assert found.steps == STEPS - 3 * PILOT, "the diverged one made none"
    with pytest.raises(FloatingPointError, match="every learning rate"):
        Scripted(peaked(1.0), monkeypatch, diverging=(1.0, 1 / 3, 3.0)).run()


def test_what_is_validated_and_kept_are_averaged_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Tensor]] = []
    raw: list[Tensor] = []
    scripted = Scripted(peaked(1.0), monkeypatch)
    validate, step = scripted._validate, Descent._step

    def look() -> float:
        seen.append({name: value.clone() for name, value in scripted.module.state_dict().items()})
        return validate()

    def stepped(self: Descent, until: int) -> None:
        step(self, until)
        raw.append(scripted.module.bias.detach().clone())

    monkeypatch.setattr(scripted, "_validate", look)
    monkeypatch.setattr(Descent, "_step", stepped)
    found = scripted.run()
    assert torch.equal(found.best.best["bias"], seen[-1]["bias"])
    assert torch.equal(scripted.module.bias, seen[-1]["bias"])
    assert not torch.equal(raw[-1], seen[-1]["bias"])
    first = torch.stack(raw[:5])
    assert first.min() < seen[0]["bias"] < first.max()
    assert raw[5] > raw[4], "a validation leaves the training's own weights as they were"


@pytest.mark.parametrize(
    ("scores", "stopped"),
    [
        ([0.5, 0.5], False),
        ([0.5, 0.5, 0.5], True),
        ([0.5, 0.5, 0.5005], True),
        ([0.5, 0.5, 0.502], False),
        ([0.5, 0.6, 0.5, 0.4], True),
        ([0.0, 0.0, 0.0, 0.0], False),
        ([math.nan, 0.5, 0.4, 0.4], True),
        ([math.nan, math.nan, math.nan], False),
    ],
)
def test_two_validations_without_a_gain_of_a_tenth_of_a_point(scores: list[float], stopped: bool) -> None:
    assert HIGHER.has_stopped_gaining(scores, 2) == stopped
