"""Randomness: one stream per sample, and nothing else."""

import torch

from ssl_bench.api.rng import Draws, numpy_generator, stream_seed


def test_a_sample_draws_the_same_in_any_batch() -> None:
    together = Draws.keyed(0, "views", samples=[3, 4, 5]).normal(2, 2)
    alone = Draws.keyed(0, "views", samples=[4]).normal(2, 2)
    assert torch.equal(together[1:2], alone)


def test_keys_separate_streams() -> None:
    keys = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), ("0", "a")]
    assert len({stream_seed(*key) for key in keys}) == len(keys)


def test_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    draws = Draws.keyed(0, samples=range(3))
    draws.uniform(4), draws.normal(4), draws.integers(0, 9, 4), draws.chance(0.5), draws.permutation(5)
    assert torch.equal(before, torch.get_rng_state())


def test_ranges() -> None:
    draws = Draws.keyed(0, samples=range(2))
    uniform = draws.uniform(10_000, low=-2, high=3)
    assert uniform.min() >= -2
    assert uniform.max() < 3
    assert set(draws.integers(2, 5, 1000).unique().tolist()) == {2, 3, 4}
    assert abs(draws.chance(0.3, 20_000).float().mean() - 0.3) < 0.02
    assert draws.permutation(7).sort().values.tolist() == [list(range(7))] * 2


def test_numpy_generator_is_keyed() -> None:
    assert numpy_generator(0, "x").random() == numpy_generator(0, "x").random()
    assert numpy_generator(0, "x").random() != numpy_generator(1, "x").random()
