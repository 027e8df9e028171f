"""The scores of a record's test cases in a few lines."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from markupsafe import Markup

from ssl_bench.report.columns import as_float
from ssl_bench.report.page.curves import dots
from ssl_bench.report.page.model import Facts
from ssl_bench.spec.record import COUNTS_MISSES, EvaluationRecord

OTHER_MEASURES = {
    "surface_dice_per_class": ("surface Dice", 100.0, ""),
    "hd95_mm_per_class": ("HD95", 1.0, " mm"),
    "centreline_dice": ("centreline Dice", 100.0, ""),
}
"""Recorded, not ranked: title, factor and unit."""
MOST_DOTS = 200


def case_facts(record: EvaluationRecord) -> Facts:
    """How the scores spread over cases, over classes, and what other measures say."""
    facts = [("Test cases", _spread(record))]
    classes = _by_class(record.cases, "dsc_per_class")
    if len(classes) > 1:
        facts.append(("DSC by class", ", ".join(f"{name} {100 * mean:.1f}" for name, mean in classes.items())))
    others = [
        f"{title} {factor * mean:.1f}{unit}{_without_misses(record, name)}"
        for name, (title, factor, unit) in OTHER_MEASURES.items()
        if (mean := _mean(record.cases, name)) is not None
    ]
    if others:
        facts.append(("Also measured", f"{', '.join(others)} (means over cases)"))
    return facts


def _without_misses(record: EvaluationRecord, name: str) -> str:
    older = name == "hd95_mm_per_class" and COUNTS_MISSES not in record.policy
    return " without the classes that were missed" if older else ""


def case_dots(record: EvaluationRecord) -> Markup | None:
    """Every test case as a dot: its DSC, or its probability on a line for each class."""
    if len(record.cases) > MOST_DOTS:
        return None
    if record.metric == "AUC":
        lines = [[p for case in _with_label(record, label) if (p := number(case.get("probability"))) is not None]
                 for label in (1, 0)]  # fmt: skip
        ends = [end for line in lines if line for end in (min(line), max(line))] or [0.0]
        text = "Probability of each test case, x 100; above positive cases, below negative ones"
        return dots(text, lines, min(ends), max(ends))
    return dots("DSC of each test case, x 100", [[score for _, score in _scores(record)]], 0, 1)


def number(value: Any) -> float | None:
    """`value` if it is a finite number."""
    found = as_float(value)
    return found if math.isfinite(found) else None


def _spread(record: EvaluationRecord) -> str:
    if record.metric == "AUC":
        counts = [len(_with_label(record, label)) for label in (1, 0)]
        return f"{counts[0]} positive, {counts[1]} negative"
    scores = _scores(record)
    undefined = f"; {len(record.cases) - len(scores)} undefined" if len(scores) < len(record.cases) else ""
    if not scores:
        return f"{len(record.cases)}{undefined}"
    worst, best = min(scores, key=lambda pair: pair[1]), max(scores, key=lambda pair: pair[1])
    low, middle, high = np.quantile([score for _, score in scores], (0.25, 0.5, 0.75))
    return (
        f"{len(record.cases)}; worst {100 * worst[1]:.1f} ({worst[0]}), quartiles {100 * low:.1f}, {100 * middle:.1f}, "
        f"{100 * high:.1f}, best {100 * best[1]:.1f} ({best[0]}){undefined}"
    )


def _scores(record: EvaluationRecord) -> list[tuple[str, float]]:
    found = [(str(case.get("case")), number(case.get("dsc"))) for case in record.cases]
    return [(name, score) for name, score in found if score is not None]


def _with_label(record: EvaluationRecord, label: int) -> list[dict[str, Any]]:
    return [case for case in record.cases if case.get("label") == label]


def _by_class(cases: Iterable[dict[str, Any]], name: str) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        classes = case.get(name)
        for title, value in (classes if isinstance(classes, dict) else {}).items():
            if (found := number(value)) is not None:
                values[str(title)].append(found)
    return {title: fmean(found) for title, found in values.items()}


def _mean(cases: Sequence[dict[str, Any]], name: str) -> float | None:
    """Over cases, and over the classes of a case before."""
    found = []
    for case in cases:
        value = case.get(name)
        parts = [number(part) for part in (value.values() if isinstance(value, dict) else [value])]
        defined = [part for part in parts if part is not None]
        if defined:
            found.append(fmean(defined))
    return fmean(found) if found else None
