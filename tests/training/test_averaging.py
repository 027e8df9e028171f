"""The average of weights against its closed form, a weighted mean of all steps."""

from __future__ import annotations

import copy
from math import comb

import pytest
import torch
from torch import nn

from ssl_bench.training.averaging import SHARPNESS, Average


def averaged(weights: list[torch.Tensor], module: nn.Linear, average: Average) -> torch.Tensor:
    for weight in weights:
        with torch.no_grad():
            module.weight.copy_(weight)
        average.add(module)
    return average.weights["weight"]


def test_it_is_the_mean_of_all_steps_weighted_by_a_polynomial() -> None:
    """Shamir and Zhang: step t counts by the number of ways to choose e of the t + e - 1 before it, so about as t^e."""
    module, steps = nn.Linear(3, 2), 12
    weights = [torch.randn(2, 3, dtype=torch.float64).float() for _ in range(steps)]
    shares = torch.tensor([comb(t + SHARPNESS - 1, SHARPNESS) for t in range(1, steps + 1)], dtype=torch.float64)
    expected = (shares.view(-1, 1, 1) / shares.sum() * torch.stack(weights)).sum(0).float()
    torch.testing.assert_close(averaged(weights, module, Average(module)), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("stop", [1, 5])
def test_it_goes_on_from_what_was_saved_with_the_same_bits(stop: int) -> None:
    module, weights = nn.Linear(3, 2), [torch.randn(2, 3) for _ in range(8)]
    whole = averaged(weights, module, Average(module)).clone()
    first, second = Average(module), Average(nn.Linear(3, 2))
    averaged(weights[:stop], module, first)
    second.load(copy.deepcopy(first.weights), stop)
    assert torch.equal(averaged(weights[stop:], module, second), whole)


def test_a_buffer_stays_as_it_is() -> None:
    module = nn.BatchNorm1d(2)
    average = Average(module)
    average.add(module)
    average.put_into(module)
    assert module.num_batches_tracked == 0
