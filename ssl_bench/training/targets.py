"""The numbers of a regression in the units in which a network learns them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ssl_bench.api.cases import Case


class TargetScale(NamedTuple):
    """Mean and standard deviation of the training cases' targets, in the targets' unit."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, training: Sequence[Case]) -> TargetScale:
        """That of the `training` cases, whose labels are numbers; a deviation of 1 where they are all the same."""
        targets = np.array([case.label for case in training], np.float64)
        return cls(float(targets.mean()), float(targets.std()) or 1.0)

    def standardised(self, cases: Sequence[Case]) -> list[Case]:
        """`cases` with targets in deviations from the mean."""
        return [replace(case, label=(float(np.asarray(case.label)) - self.mean) / self.deviation) for case in cases]

    def restored(self, prediction: Tensor) -> Tensor:
        """A standardised prediction in the targets' unit, float64."""
        return self.mean + self.deviation * prediction.double()
