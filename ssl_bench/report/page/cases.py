"""The scores of a record's test cases in a few lines."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from markupsafe import Markup

from ssl_bench.api.metric import METRICS
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
    scores = [score for _, score in _scores(record)]
    if record.metric == "DSC":
        return dots("DSC of each test case, x 100", [scores], 0, 1)
    if record.metric == "macro AUC":
        return dots("Probability of each test case's own class, x 100", [scores], 0, 1)
    if record.metric == "mAP":
        return dots("Average precision of each test case, x 100", [scores], 0, 1)
    error = "Match error of each pair of test cases, mm"
    what = error if record.metric == "match error" else "Absolute error of each test case"
    return dots(what, [scores], 0, max(scores, default=0.0), factor=1)


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
    metric = METRICS[record.metric]
    worst, best = (end(scores, key=lambda pair: metric.sign * pair[1]) for end in (min, max))
    quartiles = np.quantile([score for _, score in scores], (0.25, 0.5, 0.75))
    what = {"macro AUC": " (probability of its own class)", "MAE": " (absolute error)"}.get(record.metric, "")
    return (
        f"{len(record.cases)}; worst {metric.text(worst[1])} ({worst[0]}), quartiles "
        f"{', '.join(map(metric.text, quartiles))}, best {metric.text(best[1])} ({best[0]}){what}{undefined}"
    )


def _scores(record: EvaluationRecord) -> list[tuple[str, float]]:
    """The cases with what each has: its DSC, the probability of its own class, or its absolute error."""
    found = [(str(case.get("case")), _case_score(record, case)) for case in record.cases]
    return [(name, score) for name, score in found if score is not None]


def _case_score(record: EvaluationRecord, case: dict[str, Any]) -> float | None:
    if record.metric == "macro AUC":
        return number((case.get("probabilities") or {}).get(case.get("class")))
    if record.metric == "MAE":
        said, true = number(case.get("prediction")), number(case.get("label"))
        return None if said is None or true is None else abs(said - true)
    return number(case.get(METRICS[record.metric].of_case))


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
