"""The test cases of a cell once more, under the shifts that its specification asks for; nothing is trained again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.measurement import Descriptor, KnownPartners, Measured, Measurement, Rows, Show
from ssl_bench.api.shift import GRADES, ShiftFacts, shifts_called
from ssl_bench.api.task import TaskFacts
from ssl_bench.shifts.cases import shifted
from ssl_bench.shifts.partners import ShiftedPartners
from ssl_bench.spec.record import ShiftedScores
from ssl_bench.spec.specification import EvaluationSpec
from ssl_bench.training.progress import Progress
from ssl_bench.training.scoring import describe, score

LEFT_OUT = ("subject", "partner", "by_warp")
"""Of the rows of cases and pairs, besides what is said of each class: the record's own rows say whose they are."""


def shifted_scores(
    spec: EvaluationSpec,
    facts: TaskFacts,
    cases: Sequence[Case],
    predict: Callable[[Case], Tensor],
    progress: Progress,
) -> list[ShiftedScores]:
    """What `predict`, see `ssl_bench.training.inference.predict`, scores on shifted `cases`, by shift and grade.

    Surfaces are not measured and classes not kept apart. Raises UserError for a shift of another installation.
    """
    asked = _asked(spec)
    found = []
    with progress.track(f"{spec.title}, shifted", len(asked) * len(cases)) as advance:
        for shift, grade in asked:
            rows = []
            for case in cases:
                moved = shifted(case, shift, grade, spec.seed)
                rows.append(describe(facts, moved, predict(moved), surfaces=False))
                advance(f"{shift.name} {grade}")
            found.append(_graded(shift, grade, score(facts, rows), rows))
    return found


def shifted_measures(
    spec: EvaluationSpec,
    protocol: Measurement,
    measured: Measured,
    descriptor: Descriptor | None,
    scored: Callable[[Rows], float],
    progress: Progress,
) -> list[ShiftedScores]:
    """What `protocol` says of `measured` whose test cases are shifted, by shift and grade; `scored` ranks its rows.

    What they are compared with, `Measured.references` and training cases, stays as it is. Surfaces are not measured
    and classes not kept apart. Raises UserError for a shift of another installation.
    """
    asked, truth = _asked(spec), cache(measured.truth)

    def described(case: Case, prediction: Tensor, ranked: bool = True) -> dict[str, Any]:
        return describe(measured.facts, case, prediction, surfaces=False)

    still = replace(measured, describe=described, advance=lambda _: None, show=Show())
    found = []
    with progress.track(f"{spec.title}, shifted", len(asked)) as advance:
        for shift, grade in asked:
            test = [shifted(case, shift, grade, spec.seed) for case in measured.test]
            partners = partial(_partners, truth, measured.test, shift, grade, spec.seed)
            rows = protocol.measure(replace(still, test=test, truth=partners), descriptor)
            found.append(_graded(shift, grade, scored(rows), rows))
            advance(f"{shift.name} {grade}")
    return found


def _partners(
    truth: Callable[[], KnownPartners | None], cases: Sequence[Case], shift: ShiftFacts, grade: int, seed: int
) -> KnownPartners | None:
    """Those in shifted `cases`; None where nobody knows them."""
    known = truth()
    return None if known is None else ShiftedPartners(known, cases, shift, grade, seed)


def _asked(spec: EvaluationSpec) -> list[tuple[ShiftFacts, int]]:
    return [(shift, grade) for shift in shifts_called(spec.shifts) for grade in GRADES]


def _graded(shift: ShiftFacts, grade: int, value: float, rows: Rows) -> ShiftedScores:
    return ShiftedScores(
        shift=shift.versioned,
        grade=grade,
        strength=shift.strengths[grade],
        score=None if math.isnan(value) else value,
        cases=[
            {name: said for name, said in row.items() if not name.endswith("_per_class") and name not in LEFT_OUT}
            for row in rows
        ],
    )


def trained_on_shifts(spec: EvaluationSpec) -> list[str] | None:
    """The shifts of whose kind the backbone saw some in pre-training; None where nothing says so."""
    known = spec.backbone.trains_on
    return None if known is None else list(known)
