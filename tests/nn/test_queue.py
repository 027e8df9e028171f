"""The queue of keys, and InfoNCE against plain sums in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.nn.queue import NO_VOLUME, KeyQueue, info_nce


def unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_a_queue_keeps_the_newest_keys_in_front_and_whose_they_are() -> None:
    queue = KeyQueue(5, 3)
    first, second = unit(2, 3, seed=1), unit(2, 3, seed=2)
    queue.add(first, torch.tensor([7, 3]))
    assert queue.volumes.tolist() == [7, 3, NO_VOLUME, NO_VOLUME, NO_VOLUME]
    queue.add(second, torch.tensor([1, 7]))
    assert queue.volumes.tolist() == [1, 7, 7, 3, NO_VOLUME]
    assert torch.equal(queue.keys[:4], torch.cat([second, first]))
    queue.add(first, torch.tensor([0, 2]))
    assert queue.volumes.tolist() == [0, 2, 1, 7, 7], "the oldest left"


def test_no_more_keys_are_shown_than_asked_for_and_looking_changes_nothing() -> None:
    queue, keys = KeyQueue(5, 3), unit(2, 3)
    queue.add(keys, torch.tensor([7, 3]))
    shown, volumes = queue.behind(unit(2, 3, seed=1), torch.tensor([4, 5]), 3)
    assert volumes.tolist() == [4, 5, 7]
    assert torch.equal(shown[2], keys[0])
    assert len(queue.behind(unit(2, 3, seed=1), torch.tensor([4, 5]), 100)[1]) == 5
    assert queue.volumes.tolist() == [7, 3, NO_VOLUME, NO_VOLUME, NO_VOLUME]


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_info_nce_is_the_papers_sum_over_keys_of_other_volumes(temperature: float) -> None:
    queries, positives, negatives = unit(4, 6, seed=1), unit(4, 6, seed=2), unit(7, 6, seed=3)
    volumes, theirs = torch.tensor([0, 1, 2, 2]), torch.tensor([2, 1, NO_VOLUME, 5, 2, NO_VOLUME, 0])
    found = info_nce(queries.double(), positives.double(), volumes, negatives.double(), theirs, temperature)
    q, k, n = (part.double().numpy() for part in (queries, positives, negatives))
    losses = []
    for i in range(4):
        positive = np.exp(sum(q[i, c] * k[i, c] for c in range(6)) / temperature)
        total = positive
        for j in range(7):
            if theirs[j] not in (volumes[i], NO_VOLUME):
                total += np.exp(sum(q[i, c] * n[j, c] for c in range(6)) / temperature)
        losses.append(-np.log(positive / total))
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-12)


def test_info_nce_is_in_float32_under_autocast() -> None:
    given = (unit(4, 6, seed=1), unit(4, 6, seed=2), torch.arange(4), unit(7, 6, seed=3), torch.arange(7))
    with torch.autocast("cpu", torch.bfloat16):
        found = info_nce(*given, 0.1)
    assert torch.equal(found, info_nce(*given, 0.1))
