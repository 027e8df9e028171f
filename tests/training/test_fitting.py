"""Of several optimisers and many steps, what validates best is kept; validation scores are scripted here."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from ssl_bench.api.protocol import BatchSettings, ProtocolSettings, Training
from ssl_bench.api.settings import OptimiserSettings
from ssl_bench.nn.losses import binary_cross_entropy_loss
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.descent import Fit, on_device
from ssl_bench.training.fitting import Fitting
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, make_fabric

NAN = math.nan
SGD = OptimiserSettings(name="sgd", learning_rate=1.0, schedule="constant", warmup_steps=0, gradient_clip=0.0)
RATES = (0.1, 0.2, 0.4)

Weights = dict[str, Tensor]


def fitted(scores: list[list[float]]) -> tuple[Fit, Weights, list[Weights], list[Weights]]:
    """Train with a rate for each of `scores`, one a step: the best fit; weights left, at starts, whenever scored."""
    steps = len(scores[0])
    settings = ProtocolSettings(
        steps=steps, batch=BatchSettings(segmentation=1, classification=2), validate_every=1, optimiser=SGD
    )
    module = torch.nn.Linear(3, 1)
    starts: list[Weights] = []
    scored: list[Weights] = []

    def draw(step: int) -> tuple[tuple[Tensor, ...], Tensor]:
        if step == 0:
            starts.append(copy.deepcopy(module.state_dict()))
        return (torch.ones(2, 3),), torch.ones(2, 1)

    def validate() -> float:
        scored.append(copy.deepcopy(module.state_dict()))
        return [score for each in scores for score in each][len(scored) - 1]

    optimisers = tuple(SGD.model_copy(update={"learning_rate": rate}) for rate in RATES[: len(scores)])
    training = Training(module, draw, optimisers, binary_cross_entropy_loss)
    fitting = Fitting(make_fabric(Runtime(), "float32"), training, settings, validate, Attempt(), dict)
    outcome = fitting.best(Progress(shown=False), "test")
    assert outcome.steps == steps * len(scores)
    return outcome.best, module.state_dict(), starts, scored


@pytest.mark.parametrize(
    ("scores", "rate", "step"),
    [
        ([[0.1, 0.9, 0.3], [0.2, 0.4, 0.5]], 0, 2),
        ([[0.1, 0.2, 0.3], [0.2, 0.9, 0.5], [0.6, 0.7, 0.8]], 1, 2),
        ([[0.1, 0.2, 0.3], [0.4, 0.2, 0.3]], 1, 1),
        # Within one training ties go to the later step; of two trainings the earlier one keeps its place.
        ([[0.5, 0.9, 0.9], [0.9, 0.1, 0.9]], 0, 3),
        ([[NAN, NAN, NAN], [0.0, NAN, NAN]], 1, 1),
        ([[0.0, NAN, NAN], [NAN, NAN, NAN]], 0, 1),
    ],
)
def test_the_rate_and_the_step_that_validate_best_are_kept(scores: list[list[float]], rate: int, step: int) -> None:
    best, left, _, scored = fitted(scores)
    assert (best.learning_rate, best.best_step, best.best_score) == (RATES[rate], step, scores[rate][step - 1])
    assert [look["score"] for look in best.curve] == pytest.approx(scores[rate], nan_ok=True)
    for name, value in scored[rate * len(scores[0]) + step - 1].items():
        assert torch.equal(left[name], value)
        assert torch.equal(best.best[name], value)
    assert len({float(weights["bias"]) for weights in scored}) == len(scored)


def test_every_rate_starts_from_the_same_weights() -> None:
    _, _, starts, _ = fitted([[0.1], [0.2], [0.3]])
    assert len(starts) == 3
    assert all(torch.equal(starts[0][name], start[name]) for start in starts for name in start)


def test_what_goes_to_the_network_keeps_its_values_in_the_layout_of_its_convolutions() -> None:
    fabric = make_fabric(Runtime("cpu", 1), "float32")
    volumes, labels = torch.rand(2, 3, 4, 5, 6), torch.rand(2, 4)
    there = on_device(fabric, volumes)
    assert torch.equal(there, volumes)
    assert there.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(on_device(fabric, labels), labels)
