"""Records as tables and pictures need them: for tables, a hundred thousand in seconds and in a gigabyte of memory."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import nan
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticSerializationError, core_schema, to_json

from ssl_bench.spec.record import AnyRecord, Curve, EvaluationRecord, PretrainingRecord
from ssl_bench.store.store import Store

RANKED = ("case", "dsc", "label", "probability")
"""What statistics are made of, of each test case."""


def as_float(value: Any) -> float:
    """The number that a record holds; NaN where it is none, or an integer larger than any float."""
    try:
        return float(value) if isinstance(value, int | float) else nan
    except OverflowError:
        return nan


class _RankedScores:
    """`RANKED`; scores by class, most of a record, never become objects."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        field = core_schema.typed_dict_field(core_schema.any_schema(), required=False)
        kept = dict.fromkeys(RANKED, field)
        return core_schema.list_schema(core_schema.typed_dict_schema(kept, extra_behavior="ignore"))


class _ByClass(Mapping[str, float]):
    """One case's score of every class in a fifth of a dict's memory: cases share the names. NaN where undefined."""

    __slots__ = ("_places", "_scores")

    def __init__(self, scores: Mapping[str, Any], shared: Callable[[Any], Any]) -> None:
        self._places: dict[str, int] = shared({name: place for place, name in enumerate(scores)})
        self._scores = array("d", map(as_float, scores.values()))

    def __getitem__(self, name: str) -> float:
        return self._scores[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Evaluation(EvaluationRecord):
    cases: Annotated[list[dict[str, Any]], _RankedScores] = Field(default=[])
    validation_curve: Annotated[Curve, AfterValidator(lambda curve: [])] = Field(default=[])


class _Pretraining(PretrainingRecord):
    loss_curve: Annotated[list[float], AfterValidator(lambda losses: _ends(losses))] = Field(default=[])


def read_for_tables(store: Store) -> list[AnyRecord]:
    """Every success in `store` without curves and scores by class; of a loss curve its first 5 steps and last 20.

    What is equal in many records is one object.
    """
    with no_collection():
        shared = _sharing()
        return [_share(record, shared) for record in store.records(_Pretraining, _Evaluation)]


def read_for_pictures(store: Store, look: Callable[[AnyRecord], None] = lambda record: None) -> list[AnyRecord]:
    """Every success in `store` with what pictures show of it besides: validation curves, and the DSC by class.

    `look` gets each whole record once, before the rest of it goes: no two are held together.
    """
    with no_collection():
        shared, found = _sharing(), []
        for record in store.records():
            look(record)
            found.append(_share(_reduce(record, shared), shared))
        return found


def _reduce(record: AnyRecord, shared: Callable[[Any], Any]) -> AnyRecord:
    """`record`, cut down in place; frozen as it is, nobody else has it yet."""
    if isinstance(record, PretrainingRecord):
        record.__dict__["loss_curve"] = _ends(record.loss_curve)
        return record
    kept = []
    for case in record.cases:
        kept.append({name: case[name] for name in RANKED if name in case})
        if isinstance(by_class := case.get("dsc_per_class"), dict):
            kept[-1]["dsc_per_class"] = _ByClass(by_class, shared)
    record.__dict__["cases"] = kept
    return record


def _ends(losses: list[float]) -> list[float]:
    return losses[:5] + losses[5:][-20:]


def _sharing() -> Callable[[Any], Any]:
    """A function that gives one object for all that are equal."""
    known: dict[bytes, Any] = {}

    def shared(value: Any) -> Any:
        try:
            return known.setdefault(to_json(value), value)
        except PydanticSerializationError:
            # It holds half of a character: rare, so that it may stay by itself.
            return value

    return shared


def _share(record: AnyRecord, shared: Callable[[Any], Any]) -> AnyRecord:
    """`record` with what is equal in other records in it; frozen as it is, nobody else has it yet."""
    for name in ("setting", "provenance", "modules", "policy"):
        if name in record.__dict__:
            record.__dict__[name] = shared(record.__dict__[name])
    if isinstance(record, EvaluationRecord):
        for name in ("backbone", "data", "protocol_settings"):
            record.spec.__dict__[name] = shared(record.spec.__dict__[name])
    return record


@contextmanager
def no_collection() -> Iterator[None]:
    """No search for cyclic garbage: among records there is none, and looking takes as long as the work. A decorator."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
