"""Successive halving: what wins, what it costs, and that it does not matter who ran the trials in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from math import inf

import pytest

from ssl_bench.tuning.halving import Result, Standing, Trial, best_of, rungs, standing

EIGHT = rungs(8)
Objective = Callable[[Trial], Result]


def played(objective: Objective, budget: float = inf, all_at_once: bool = True) -> tuple[Standing, list[list[Trial]]]:
    """The row after its last trial, and what was asked for in each round."""
    results: dict[Trial, Result] = {}
    rounds = []
    while (found := standing(EIGHT, results.get, budget)).asked:
        asked = found.asked if all_at_once else found.asked[-1:]
        rounds.append(asked)
        results |= {trial: objective(trial) for trial in asked}
    return found, rounds


def planted(best: int) -> Objective:
    """Scores fall with the distance from `best`; trials with fewer steps score less, and cost less."""

    def objective(trial: Trial) -> Result:
        share = float(EIGHT[trial.rung].share)
        return Result(share * (1 - abs(trial.number - best) / 10), 40 * share)

    return objective


def winner(found: Standing) -> int | None:
    return best_of(found.on(found.deciding_rung))


def test_eight_configurations_are_halved_twice_while_their_steps_double() -> None:
    assert [tuple(rung) for rung in EIGHT] == [(Fraction(1, 4), 8), (Fraction(1, 2), 4), (1, 2)]
    assert [[size for _, size in rungs(count)] for count in (1, 2, 3, 4, 7, 16)] == [
        [1], [2], [3], [4, 2], [7, 4], [16, 8, 4],
    ]  # fmt: skip
    assert all(rungs(count)[-1].share == 1 for count in range(1, 40))


@pytest.mark.parametrize("best", range(8))
def test_the_planted_optimum_wins(best: int) -> None:
    found, _ = played(planted(best))
    assert winner(found) == best
    assert len(found.ended) == 8 + 4 + 2
    assert found.seconds == pytest.approx(40 * (8 / 4 + 4 / 2 + 2))
    assert not found.exhausted


def test_the_defaults_are_compared_with_all_steps_however_badly_they_began() -> None:
    def late(trial: Trial) -> Result:
        """Configuration 0 is the worst of all until it has all of the steps."""
        return Result(trial.number / 10 if trial.rung < 2 else {0: 0.9}.get(trial.number, 0.8), 1)

    found, _ = played(late)
    assert found.on(2) == {0: 0.9, 7: 0.8}
    assert winner(found) == 0


def test_of_equal_scores_the_defaults_stay() -> None:
    found, _ = played(lambda trial: Result(0.5, 1))
    assert winner(found) == 0


def test_it_does_not_matter_in_which_order_trials_end() -> None:
    one, rounds = played(planted(5))
    other, _ = played(planted(5), all_at_once=False)
    assert one.ended == other.ended
    assert [len(asked) for asked in rounds] == [8, 4, 2], "a whole rung at once"
    _, rounds = played(planted(5), budget=1000)
    assert [len(asked) for asked in rounds] == [1, 7, 4, 2], "where there is a limit, one shows what a trial costs"


def test_a_failed_configuration_does_not_go_on_and_does_not_win() -> None:
    def failing(trial: Trial) -> Result:
        return Result(-inf, 1) if trial.number in (3, 4, 5, 6, 7) else planted(7)(trial)

    found, _ = played(failing)
    assert sorted(found.on(1)) == [0, 1, 2]
    assert winner(found) == 2
    assert winner(played(lambda trial: Result(-inf, 1))[0]) is None


@pytest.mark.parametrize("budget", [5, 35, 79.9, 95, 130, 200, 239])
def test_a_row_that_has_used_its_device_seconds_starts_no_further_trial(budget: float) -> None:
    found, _ = played(planted(6), budget)
    before_last = sum(result.seconds for result in list(found.ended.values())[:-1])
    assert before_last < budget
    assert found.exhausted == (found.seconds < 240)
    assert found.seconds >= budget or not found.exhausted


def test_trials_that_run_together_go_beyond_the_budget_by_one_at_most() -> None:
    found, rounds = played(planted(6), budget=50)
    assert [len(asked) for asked in rounds] == [1, 4], "of 10 seconds each, 4 more are started"
    assert found.seconds == 50


def test_what_was_run_beyond_the_budget_does_not_count() -> None:
    everything = {Trial(number, 0): Result(number, 10) for number in range(8)}
    found = standing(EIGHT, everything.get, budget=25)
    assert _numbers(found.ended) == [0, 1, 2]
    assert winner(found) == 2
    assert found.exhausted


def test_what_decides_is_the_last_rung_with_something_to_compare() -> None:
    found, _ = played(planted(6), budget=85)
    assert _numbers(found.ended)[8:] == [0]
    assert (found.deciding_rung, winner(found)) == (0, 6)


def _numbers(trials: Iterable[Trial]) -> list[int]:
    return [trial.number for trial in trials]
