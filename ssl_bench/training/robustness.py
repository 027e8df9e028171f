"""The test cases of a cell once more, under the shifts that its specification asks for; nothing is trained again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.shift import GRADES, shifts_called
from ssl_bench.api.task import TaskFacts
from ssl_bench.shifts.cases import shifted
from ssl_bench.spec.record import ShiftedScores
from ssl_bench.spec.specification import EvaluationSpec
from ssl_bench.training.progress import Progress
from ssl_bench.training.scoring import describe, score


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
    asked = [(shift, grade) for shift in shifts_called(spec.shifts) for grade in GRADES]
    found = []
    with progress.track(f"{spec.title}, shifted", len(asked) * len(cases)) as advance:
        for shift, grade in asked:
            rows = []
            for case in cases:
                moved = shifted(case, shift, grade, spec.seed)
                rows.append(describe(facts, moved, predict(moved), surfaces=False))
                advance(f"{shift.name} {grade}")
            value = score(facts, rows)
            kept = [{name: said for name, said in row.items() if name != "dsc_per_class"} for row in rows]
            found.append(
                ShiftedScores(
                    shift=shift.versioned,
                    grade=grade,
                    strength=shift.strengths[grade],
                    score=None if math.isnan(value) else value,
                    cases=kept,
                )
            )
    return found
