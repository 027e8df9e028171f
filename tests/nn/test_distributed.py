"""What ranks share; processes that really share a batch are in tests/executors/test_data_parallel.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssl_bench.nn import distributed
from ssl_bench.nn.distributed import alone, gathered, map_over_ranks, mean_over_ranks, own_share, rank, rank_count

BATCHES = [torch.full((2, 3), float(number)) for number in range(5)]


def test_a_single_process_has_the_whole_batch() -> None:
    features = torch.rand(4, 3, requires_grad=True)
    assert (rank_count(), rank(), own_share(6)) == (1, 0, slice(0, 6))
    assert torch.equal(gathered(features), features)
    gathered(features).sum().backward()
    assert torch.equal(features.grad, torch.ones(4, 3))  # type: ignore[arg-type]
    assert torch.equal(map_over_ranks(torch.square, BATCHES), torch.cat(BATCHES).square())
    mean = mean_over_ranks(features.sum())
    assert mean == features.sum()
    assert not mean.requires_grad


def test_batches_that_ranks_computed_in_turn_come_back_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three ranks, the last has one batch less."""
    computed: dict[int, list[Tensor]] = {}
    monkeypatch.setattr(distributed, "rank_count", lambda: 3)

    def exchange(found: list[list[Tensor]], own: list[Tensor]) -> None:
        computed[place] = own
        found[:] = [computed.get(other, []) for other in range(3)]

    monkeypatch.setattr(distributed.dist, "all_gather_object", exchange)
    for place in (2, 1, 0):
        monkeypatch.setattr(distributed, "rank", lambda at=place: at)
        whole = map_over_ranks(torch.square, BATCHES)
    assert [len(computed[each]) for each in range(3)] == [2, 2, 1]
    assert torch.equal(whole, torch.cat(BATCHES).square())


def test_each_rank_has_its_own_part_and_a_mean_is_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed.dist, "get_rank", lambda: 1)
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda value: value.add_(5.0))
    assert (rank_count(), rank(), own_share(6)) == (2, 1, slice(3, 6))
    assert mean_over_ranks(torch.tensor(2.0)) == 3.5
    with alone():
        assert (rank_count(), rank()) == (1, 0)
