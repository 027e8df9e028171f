"""The numbers of a record, recomputed from what it says of every test case."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ssl_bench.api.task import TaskFacts
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.submission.finding import Finding, refused, unvouched
from ssl_bench.training.aggregates import aggregates, facts_of, is_known, measurement_of
from ssl_bench.training.measuring import score_of

ROUNDING = 1e-6
"""How far a recomputed number may lie from a recorded one: other versions of a library add in another order."""


def score_findings(record: EvaluationRecord) -> Iterator[Finding]:
    """Which aggregates of `record` are not those of its cases, and what has no cases to be recomputed from."""
    if record.spec.scored_on == "validation":
        if record.cases:
            yield refused("is a trial, scored on validation cases, and holds test cases: options were chosen by them")
        yield unvouched("scores of trials: a trial keeps no cases")
        return
    facts = facts_of(record)
    if (metric := metric_of(record, facts)) != record.metric:
        yield refused(f"is ranked by {record.metric}, and {record.spec.protocol} ranks {facts.kind} by {metric}")
        return
    yield from _aggregates(record, facts)


def _aggregates(record: EvaluationRecord, facts: TaskFacts) -> Iterator[Finding]:
    score, found = aggregates(record, facts, record.cases)
    yield from _compared("score", record.score, score)
    for name in {**found, **record.beside}:
        # Records made before a number was shown beside the score have none.
        if record.beside:
            yield from _compared(name, record.beside.get(name), found.get(name, math.nan))
    for row in record.cases:
        for field in ("dsc", "average_precision"):
            if isinstance(of_classes := row.get(f"{field}_per_class"), Mapping):
                yield from _compared(f"{field} of case {row['case']}", row[field], _mean(of_classes))
    for grade in record.shifted:
        named = f"score under {grade.shift} grade {grade.grade}"
        if [row["case"] for row in grade.cases] != [row["case"] for row in record.cases]:
            yield refused(f"{named}: is not of the record's cases")
        yield from _compared(named, grade.score, score_of(facts, record.metric, grade.cases))


def metric_of(record: EvaluationRecord, facts: TaskFacts) -> str:
    """By which metric the record's protocol ranks its task, as far as the protocol is known here."""
    protocol = measurement_of(record)
    if protocol is None:
        return facts.metric if is_known(record) else record.metric
    return protocol.metrics.get(facts.kind, "nothing")


def _compared(name: str, recorded: float | None, recomputed: float) -> Iterator[Finding]:
    said = math.nan if recorded is None else recorded
    if math.isnan(said) and math.isnan(recomputed):
        return
    if not math.isclose(said, recomputed, rel_tol=ROUNDING, abs_tol=ROUNDING):
        yield refused(f"{name} is {_text(said)}, and its cases give {_text(recomputed)}")


def _text(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.6g}"


def _mean(of_classes: Mapping[str, float | None]) -> float:
    known = [value for value in of_classes.values() if value is not None]
    return sum(known) / len(known) if known else math.nan
