"""What a report would be without some test cases: those that were seen before, say, or that turned out to be broken."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ssl_bench.errors import UserError
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Kind, Store

Parsed = TypeVar("Parsed")


class WithoutCases(Store):
    """A store whose records are read as if some test cases were not in them; no file changes.

    Scores, and what is shown beside them, are those of the cases that are left. What only the predictions could say
    again, classes that are never predicted, is unknown. A record without a case that is left is not there.
    """

    def __init__(self, store: Store, names: Collection[str]) -> None:
        """`names`: the test cases. Raises UserError for one that is in no record."""
        super().__init__(store.folder)
        self._names = frozenset(names)
        self._title = f"without {len(self._names)} test cases"
        if unknown := sorted(self._names - _cases_of(store)):
            others = f" and {len(unknown) - 1} more are" if len(unknown) > 1 else " is"
            raise UserError(f"--leave-out: {unknown[0]}{others} in no record of {store.folder}; name its test cases")

    def read(self, kind: Kind, parse: Callable[[bytes], Parsed | None]) -> Iterator[Parsed]:
        """See `Store.read`."""
        if kind != "evaluation":
            return super().read(kind, parse)

        def parse_what_is_left(document: bytes) -> Parsed | None:
            left = self._left(document)
            return None if left is None else parse(left)

        return super().read(kind, parse_what_is_left)

    def _left(self, document: bytes) -> bytes | None:
        """A record without the cases; None where none is left."""
        from ssl_bench.training.aggregates import aggregates, facts_of

        record = EvaluationRecord.model_validate_json(document)
        setting = record.setting.model_copy(update={"overrides": [*record.setting.overrides, self._title]})
        changes: dict[str, Any] = {"setting": setting}
        kept = [case for case in record.cases if not self._are_in(case)]
        if not kept and record.cases:
            return None
        if len(kept) < len(record.cases):
            facts, there = facts_of(record), {case["case"] for case in kept}
            shifted = []
            for graded in record.shifted:
                cases = [case for case in graded.cases if case["case"] in there]
                score, _ = aggregates(record, facts, cases)
                shifted.append(graded.model_copy(update={"cases": cases, "score": _number(score)}))
            score, beside = aggregates(record, facts, kept)
            changes |= {"cases": kept, "score": _number(score), "beside": beside, "shifted": shifted}
            changes["never_predicted"] = None
        return record.model_copy(update=changes).model_dump_json().encode()

    def _are_in(self, case: Mapping[str, Any]) -> bool:
        """Whether `case`, or a side of a pair, is left out."""
        return not self._names.isdisjoint(_named(case))


def names_in(path: Path) -> list[str]:
    """The names in a text file, one a line. Raises UserError for a file that does not read, or is empty."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--leave-out {path}: does not read as text; give a file with a test case a line") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise UserError(f"--leave-out {path}: names nothing; give a file with a test case a line")
    return names


def _cases_of(store: Store) -> set[str]:
    return {name for record in store.evaluations() for case in record.cases for name in _named(case)}


def _named(case: Mapping[str, Any]) -> list[str]:
    """What `case` is called, or the two sides of a pair."""
    return [str(case["subject"]), str(case["partner"])] if "partner" in case else [str(case["case"])]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
