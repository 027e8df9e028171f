"""Losses are looked at when they are there: at once on the processor, one step late on a GPU."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_bench.training.loss_curve import LossCurve
from ssl_bench.training.optimisation import require_finite


def on_gpu(value: float, arrivals: list[float], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A loss on a GPU that there is not; `arrivals` notes that somebody waited for it."""
    event = SimpleNamespace(synchronize=lambda: arrivals.append(value))
    stream = SimpleNamespace(record_event=lambda: event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)

    def send(device: str, non_blocking: bool) -> Tensor:
        assert non_blocking
        return torch.tensor(value)

    return SimpleNamespace(device=torch.device("cuda"), detach=lambda: SimpleNamespace(to=send))


def test_losses_of_the_processor_are_known_at_once() -> None:
    curve = LossCurve("training", [3.0])
    curve.add(torch.tensor(2.0, requires_grad=True))
    assert str(curve) == "loss 2.000"
    assert curve.read() == [3.0, 2.0]


def test_a_gpu_is_asked_for_a_loss_after_it_was_given_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    curve, arrivals = LossCurve("training"), list[float]()
    curve.add(on_gpu(2.0, arrivals, monkeypatch))
    assert (str(curve), arrivals) == ("", [])
    curve.add(on_gpu(1.0, arrivals, monkeypatch))
    assert (str(curve), arrivals) == ("loss 2.000", [2.0])
    assert curve.read() == curve.read() == [2.0, 1.0]
    assert arrivals == [2.0, 1.0]


def test_what_is_watched_of_a_gpu_arrives_with_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals, written = list[float](), list[tuple[dict[str, float], int]]()
    log: Any = SimpleNamespace(add=lambda group, numbers, step: written.append((numbers, step)))
    curve = LossCurve("training", [3.0], log, before=10)
    curve.add(on_gpu(2.0, arrivals, monkeypatch), {"part": on_gpu(0.5, arrivals, monkeypatch)})
    assert (arrivals, written) == ([], [])
    curve.add(on_gpu(1.0, arrivals, monkeypatch), {"part": on_gpu(0.25, arrivals, monkeypatch)})
    assert len(arrivals) == 2
    assert written == [({"loss": 2.0, "part": 0.5}, 11)]
    assert curve.read() == [3.0, 2.0, 1.0]
    assert written[1:] == [({"loss": 1.0, "part": 0.25}, 12)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_an_error_that_names_its_step(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = LossCurve("pre-training", [3.0])
    with pytest.raises(FloatingPointError, match=f"pre-training loss is {value} at step 1"):
        curve.add(torch.tensor(value))
    curve.add(on_gpu(value, [], monkeypatch))
    with pytest.raises(FloatingPointError, match=f"pre-training loss is {value} at step 1"):
        curve.read()


def test_weights_that_are_not_finite_are_named() -> None:
    module = torch.nn.Linear(2, 1)
    require_finite(module, 7)
    with torch.no_grad():
        module.bias[0] = math.nan
    with pytest.raises(FloatingPointError, match="bias is not finite after 7 steps"):
        require_finite(module, 7)
