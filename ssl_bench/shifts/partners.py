"""True partners in cases under a shift."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.measurement import KnownPartners
from ssl_bench.api.shift import ShiftFacts
from ssl_bench.shifts.cases import shifted_places


class ShiftedPartners:
    """Knows where places of cases as they are lie in shifted ones."""

    def __init__(self, truth: KnownPartners, cases: Sequence[Case], shift: ShiftFacts, grade: int, seed: int) -> None:
        """`truth` is of `cases` as they are; the rest is as `shifted` got it."""
        self._truth = truth
        self._cases = {case.identifier: case for case in cases}
        self._by = shift, grade, seed

    def partners(self, source: str, target: str, voxels: Tensor) -> Tensor:
        """See `KnownPartners`: `target` under the shift, `source` without."""
        places = self._truth.partners(source, target, voxels)
        moved = shifted_places(places.double().numpy(), self._cases[target], *self._by)
        return torch.from_numpy(moved).to(places.dtype)
