"""Successive halving (Jamieson and Talwalkar, AISTATS 2016): many short trials, whose better half goes on longer.

Where a row stands is worked out from the trials that have ended, in one order, whoever ran them and when.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, inf
from typing import NamedTuple

MOST_RUNGS = 3
"""The first trials take a quarter of the steps: shorter ones say little of the whole schedule."""


class Rung(NamedTuple):
    """One round of trials."""

    share: Fraction
    """Of the steps of pre-training and protocol."""
    size: int
    """How many configurations are tried."""


class Result(NamedTuple):
    """How a trial ended."""

    score: float
    """On validation, higher is better; minus infinity where it failed."""
    seconds: float
    """Device-seconds, those of its pre-trainings included."""


class Trial(NamedTuple):
    """A configuration, by its number, on a rung."""

    number: int
    rung: int


@dataclass(frozen=True)
class Standing:
    """How far a row has come."""

    ended: dict[Trial, Result]
    """The trials that count, in their order."""
    asked: list[Trial]
    """Those to be run before it can go on; none where it has ended."""
    exhausted: bool = False
    """Whether it ended because its device-seconds were used up."""

    @property
    def seconds(self) -> float:
        """Device-seconds of the trials that count."""
        return sum(result.seconds for result in self.ended.values())

    @property
    def deciding_rung(self) -> int:
        """The last rung on which configurations can be compared; the first where there is no such."""
        rungs = [trial.rung for trial in self.ended]
        return max((rung for rung in rungs if rungs.count(rung) > 1), default=0)

    def on(self, rung: int) -> dict[int, float]:
        """The scores on a rung, by the configuration's number."""
        return {trial.number: result.score for trial, result in self.ended.items() if trial.rung == rung}


def rungs(configurations: int) -> list[Rung]:
    """The rounds for so many configurations: 8 at a quarter of the steps, 4 at half, 2 at all of them."""
    count = min(MOST_RUNGS, max(1, configurations.bit_length() - 1))
    return [Rung(Fraction(1, 2 ** (count - 1 - place)), ceil(configurations / 2**place)) for place in range(count)]


def standing(rounds: Sequence[Rung], result_of: Callable[[Trial], Result | None], budget: float) -> Standing:
    """Where a row stands, by the results of its trials, None for one that has not ended.

    Configuration 0, the defaults, goes on whatever its score, so that what wins has beaten it with all of the steps. A
    trial counts if less than the `budget` of device-seconds was used before it: the last one may go beyond.
    """
    ended: dict[Trial, Result] = {}
    entrants: Sequence[int] = range(rounds[0].size)
    for rung, (_, size) in enumerate(rounds):
        trials = [Trial(number, rung) for number in entrants[:size]]
        for place, trial in enumerate(trials):
            left = budget - sum(result.seconds for result in ended.values())
            if left <= 0:
                return Standing(ended, [], exhausted=True)
            result = result_of(trial)
            if result is None:
                missing = [other for other in trials[place:] if result_of(other) is None]
                return Standing(ended, missing[: _fitting(rounds, rung, ended, left)])
            ended[trial] = result
        others = {trial.number: ended[trial].score for trial in trials if trial.number}
        entrants = [0, *_ranked(others)]
    return Standing(ended, [])


def best_of(scores: dict[int, float]) -> int | None:
    """The configuration with the highest score, of equal ones the first; None where all failed."""
    ranked = _ranked(scores)
    return ranked[0] if ranked else None


def _ranked(scores: dict[int, float]) -> list[int]:
    """Those that did not fail, best first."""
    return sorted((number for number, score in scores.items() if score > -inf), key=lambda one: (-scores[one], one))


def _fitting(rounds: Sequence[Rung], rung: int, ended: dict[Trial, Result], left: float) -> int:
    """How many trials on a rung may be started together: one while costs are unknown, then what is `left` pays for."""
    share, size = rounds[rung]
    if not ended and left < inf:
        return 1
    dearest = max((result.seconds / rounds[trial.rung].share for trial, result in ended.items()), default=0.0)
    return size if dearest * share * size <= left else max(1, int(left / (dearest * share)))
