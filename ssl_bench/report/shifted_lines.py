"""What records hold of test cases under shifts, as lines of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ssl_bench.report.columns import Columns, case_columns

Case = Mapping[str, Any]
SIDES = ("subject", "partner")


class Shifted(NamedTuple):
    """Evaluations under shifts."""

    states: pd.DataFrame
    """One line a cell, shift and grade, and one a cell without a shift: ``cell`` is its line in `StoreFrames.cells`,
    ``shift`` the versioned name, empty for none, ``grade`` and ``strength``."""
    cases: pd.DataFrame
    """As `StoreFrames.cases`, where ``cell`` is a line of `states`."""

    def whole(self) -> pd.DataFrame:
        """Every line of `cases` with what `states` says of it."""
        lines = self.states.loc[self.cases["cell"]].reset_index(drop=True)
        return pd.concat([lines, self.cases.drop(columns="cell")], axis=1)


class ShiftedLines:
    """Grows by one record after another."""

    def __init__(self, add_cases: Callable[[Columns, int, str, Sequence[Case]], None]) -> None:
        """`add_cases` appends the cases of a metric to columns, as those of a cell at some place."""
        self._add_cases = add_cases
        self._states: list[tuple[int, str, int, float]] = []
        self._cases = case_columns()

    def add(self, place: int, metric: str, cases: Sequence[Case], shifted: Sequence[Mapping[str, Any]]) -> None:
        """The evaluation at the line `place`, with its own `cases` and those under each shift."""
        if not shifted:
            return
        # The record's own cases alone say whose scans they are, and of pairs both sides.
        sides = {case["case"]: {side: case[side] for side in SIDES if side in case} for case in cases}
        self._add(place, metric, "", 0, 0.0, cases)
        for one in shifted:
            same = [case | sides.get(case["case"], {}) for case in one["cases"]]
            self._add(place, metric, one["shift"], one["grade"], one["strength"], same)

    def _add(self, place: int, metric: str, shift: str, grade: int, strength: float, cases: Sequence[Case]) -> None:
        self._add_cases(self._cases, len(self._states), metric, cases)
        self._states.append((place, shift, grade, strength))

    def frames(self) -> Shifted:
        """All lines."""
        states = pd.DataFrame(self._states, columns=["cell", "shift", "grade", "strength"]).astype(
            {"cell": int, "shift": object, "grade": int, "strength": float}
        )
        return Shifted(states, self._cases.frame())
