"""When a cell counts as converged, which every table shows."""

from __future__ import annotations

import pytest

from ssl_bench.spec.record import has_converged


@pytest.mark.parametrize(
    ("best_step", "steps", "converged"),
    [(0, 1000, True), (899, 1000, True), (900, 1000, True), (901, 1000, False), (1000, 1000, False), (10, 11, False)],
)
def test_a_best_score_in_the_last_tenth_of_the_steps_may_not_be_the_best(
    best_step: int, steps: int, converged: bool
) -> None:
    assert has_converged(best_step, steps) is converged
