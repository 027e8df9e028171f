"""Cells that two bundles hold: what another machine made again, and how near it came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from ssl_bench.api.metric import METRICS
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.submission.manifest import group_of, title_of
from ssl_bench.submission.verifying import Verdict


class Reproduced(NamedTuple):
    """One row in one column, whose runs two machines made."""

    title: str
    runs: int
    """In both."""
    of: int
    """In any of the bundles."""
    difference: float
    """The largest between two scores of one run; of errors in a unit of their own, as a part of the larger."""
    agrees: bool
    """Whether every run of the row is in both, and none differs by more than the tolerance."""


def reproduced(verdicts: Sequence[Verdict], tolerance: float) -> list[Reproduced]:
    """The rows of which two bundles from different machines hold runs, in the order of their titles.

    Machines are told apart by the device and the processor that records name: two of one kind give the same bits, which
    nobody can tell from a copy, and a copy reproduces nothing.
    """
    runs: dict[str, dict[str, list[EvaluationRecord]]] = {}
    for verdict in verdicts:
        for record in verdict.evaluations.values():
            if record.spec.scored_on == "test" and record.spec.snapshot is None:
                runs.setdefault(group_of(record), {}).setdefault(record.key, []).append(record)
    found = [_of_row(of_key, tolerance) for of_key in runs.values()]
    return sorted(row for row in found if row.runs)


def _of_row(of_key: dict[str, list[EvaluationRecord]], tolerance: float) -> Reproduced:
    nearest = [min(gaps) for records in of_key.values() if (gaps := list(_gaps(records)))]
    (first, *_), *_ = of_key.values()
    largest = max(nearest, default=0.0)
    agrees = len(nearest) == len(of_key) and largest <= tolerance
    return Reproduced(title_of(first.spec), len(nearest), len(of_key), largest, agrees)


def _machine(record: EvaluationRecord) -> tuple[str, str]:
    return str(record.provenance.get("device")), str(record.provenance.get("processor"))


def _gaps(records: Sequence[EvaluationRecord]) -> Iterator[float]:
    """How far the scores of one cell by two machines lie apart."""
    for one, other in combinations(records, 2):
        if _machine(one) != _machine(other) and one.score is not None and other.score is not None:
            gap = abs(one.score - other.score)
            largest = max(abs(one.score), abs(other.score))
            yield gap if METRICS[one.metric].unit == "%" or not gap else gap / largest
