"""Which of two validation scores is better, and when a training has stopped to gain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_bench.api.metric import METRICS

GAIN = 0.001
"""A validation score that is better by less has not gained: a tenth of a point of DSC or AUC."""


class Goal(NamedTuple):
    """What a training is to reach."""

    sign: float = 1.0
    """-1 where lower scores are better."""
    gain: float = GAIN
    """What is more than the noise of a score, in its unit."""

    @classmethod
    def of(cls, metric: str, unit: float = 1.0) -> Goal:
        """That of a metric; `unit` is what 1 is in the targets' unit, their standard deviation over training cases."""
        return cls(METRICS[metric].sign, GAIN * unit)

    @property
    def worst(self) -> float:
        """A score that every other beats."""
        return -self.sign * np.inf

    def beats(self, score: float, other: float) -> bool:
        """Whether `score` is better; an undefined one never beats a defined one."""
        return self.sign * score > self.sign * other or bool(np.isnan(other) and not np.isnan(score))

    def has_stopped_gaining(self, scores: Sequence[float], patience: int) -> bool:
        """Whether the last `patience` validations brought no gain over those before.

        A training whose score is still zero, where higher is better, has not begun to gain, so that it has not stopped
        either.
        """
        if len(scores) <= patience:
            return False
        earlier, last = (self._best(scores[part]) for part in (slice(-patience), slice(-patience, None)))
        has_begun = earlier > 0 if self.sign > 0 else np.isfinite(earlier)
        return bool(has_begun and last <= earlier + self.gain)

    def _best(self, scores: Sequence[float]) -> float:
        """The best, larger being better; an undefined one is 0 where higher is better, else infinitely bad."""
        found: NDArray[np.float64] = self.sign * np.asarray(scores, np.float64)
        return float(np.nan_to_num(found, nan=0.0 if self.sign > 0 else -np.inf, neginf=-np.inf).max())


HIGHER = Goal()
"""DSC and AUC."""
