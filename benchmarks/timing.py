"""Timing of several ways to do the same thing, in turn, and what such times say."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

LEAST_ROUNDS, MOST_ROUNDS = 3, 15


@dataclass(frozen=True)
class Options:
    """How a part is measured."""

    part: str
    """Its name."""
    quick: bool
    """Tiny sizes and one round: proves that the part runs, measures nothing."""
    device: str
    threads: int


class Spread(TypedDict):
    """A figure measured in several rounds."""

    median: float
    low: float
    """Lower quartile."""
    high: float
    """Upper quartile."""
    rounds: int


def interleaved(
    sides: Mapping[str, Callable[[], object]], options: Options, seconds: float = 60.0, least: int = LEAST_ROUNDS
) -> dict[str, list[float]]:
    """Seconds that each of `sides` takes, round by round: A, B, A, B, ..., so that a slow minute hits all alike.

    After one call each that is not timed: rounds for about so many `seconds`, no less than `least`, at most 15.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    if not options.quick:
        for side in sides.values():
            timed(side, options.device)
    start = time.perf_counter()
    for done in range(1 if options.quick else MOST_ROUNDS):
        if done >= least and time.perf_counter() - start > seconds:
            break
        for name, side in sides.items():
            times[name].append(timed(side, options.device))
    return times


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "low": low, "high": high, "rounds": len(values)}


def ratio(numerator: Sequence[float], denominator: Sequence[float], factor: float = 1.0) -> Spread:
    """`factor` times the ratio of the two times of each round."""
    return spread([factor * a / b for a, b in zip(numerator, denominator, strict=True)])


def at_least(wanted: float, found: Spread) -> dict[str, str]:
    """Two columns of a row: the target, and whether it is reached."""
    return {"wanted": f"≥ {wanted:g}", "reached": _reached(found["low"] >= wanted, found["high"] < wanted)}


def at_most(wanted: float, found: Spread) -> dict[str, str]:
    """The same for a target that is an upper limit."""
    return {"wanted": f"≤ {wanted:g}", "reached": _reached(found["high"] <= wanted, found["low"] > wanted)}


def _reached(surely: bool, surely_not: bool) -> str:
    return "yes" if surely else "no" if surely_not else "within the spread"


def timed(side: Callable[[], object], device: str) -> float:
    """Seconds that `side` takes, until a GPU is done with it."""
    start = time.perf_counter()
    side()
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter() - start
