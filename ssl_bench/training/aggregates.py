"""The numbers of a record about all its test cases, computed from what it says of each."""

from __future__ import annotations

from typing import Any

from ssl_bench.api.kinds import KINDS, Kind
from ssl_bench.api.measurement import Measurement, Rows
from ssl_bench.api.registry import PROTOCOLS, TASKS
from ssl_bench.api.task import TaskFacts
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.training.measuring import beside_of, score_of
from ssl_bench.training.scoring import beside


def aggregates(record: EvaluationRecord, facts: TaskFacts, cases: Rows) -> tuple[float, dict[str, float]]:
    """The score of `record` were `cases` its cases, NaN if undefined, and what is shown beside it."""
    protocol = measurement_of(record)
    found = beside_of(protocol.beside, facts, cases) if protocol else beside(facts, cases)
    return score_of(facts, record.metric, cases), found


def facts_of(record: EvaluationRecord) -> TaskFacts:
    """Those of the record's task; of one that is not known here, what its metric and its cases say."""
    if record.spec.task in TASKS.names():
        return TASKS.load(record.spec.task).facts
    kind: Kind = next((kind for kind, facts in KINDS.items() if facts.metric == record.metric), "segmentation")
    classes: tuple[str, ...] = ()
    for row in record.cases[:1]:
        classes = tuple(row.get("probabilities") or row.get("dsc_per_class") or ())
    return TaskFacts(record.spec.task, kind, KINDS[kind].metric, classes, "CT", "")


def measurement_of(record: EvaluationRecord) -> type[Measurement] | None:
    """The record's protocol where it is one that trains nothing, and known here."""
    found: Any = PROTOCOLS.load(record.spec.protocol) if is_known(record) else None
    return found if found is not None and issubclass(found, Measurement) else None


def is_known(record: EvaluationRecord) -> bool:
    """Whether the record's protocol is built in."""
    return record.spec.protocol_source is None and record.spec.protocol in PROTOCOLS.names()
