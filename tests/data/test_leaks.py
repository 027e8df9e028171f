"""The leak guard: the same scan is found whatever its file looks like, and no other is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_bench.data.leaks import same_scans
from ssl_bench.data.preprocessing.signature import signature


def scan(seed: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    coarse = generator.normal(0, 300, (5, 6, 7))
    return np.kron(coarse, np.ones((5, 4, 4))).round().astype(np.float32)


CASE = [("case", signature(scan(0)))]


def found(copy: NDArray[np.generic]) -> list[tuple[str, str]]:
    return same_scans([("other", signature(scan(1))), ("copy", signature(copy))], CASE)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_a_turned_and_mirrored_copy_is_found(axes: tuple[int, int, int]) -> None:
    for flip in ((), (0,), (1, 2), (0, 1, 2)):
        assert found(np.flip(scan(0).transpose(axes), flip)) == [("copy", "case")]


@pytest.mark.parametrize(
    "change",
    [lambda x: x + 1024, lambda x: x * 0.37, lambda x: x.astype(np.int16), lambda x: x + np.float32(1e-3)],
    ids=["offset", "scale", "dtype", "rounding"],
)
def test_a_copy_with_other_numbers_for_the_same_values_is_found(change) -> None:  # type: ignore[no-untyped-def]
    assert found(change(scan(0))) == [("copy", "case")]


def test_another_scan_of_the_same_shape_is_not_found() -> None:
    assert found(scan(2)) == []


def test_a_copy_with_a_small_lesion_is_another_scan() -> None:
    changed = scan(0).copy()
    changed[:8, :8, :8] += 200
    assert found(changed) == []


def test_every_pair_is_named() -> None:
    pairs = same_scans([("a", signature(scan(0))), ("b", signature(scan(0)))], CASE)
    assert pairs == [("a", "case"), ("b", "case")]
