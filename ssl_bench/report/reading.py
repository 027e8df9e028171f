"""Records as tables need them: a hundred thousand in seconds, and in a gigabyte of memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema, to_json

from ssl_bench.cells.record import AnyRecord, Curve, EvaluationRecord, PretrainingRecord
from ssl_bench.cells.store import Store


class _RankedScores:
    """Of each test case what statistics are made of; scores by class, most of a record, never become objects."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        field = core_schema.typed_dict_field(core_schema.any_schema(), required=False)
        kept = dict.fromkeys(("case", "dsc", "label", "probability"), field)
        return core_schema.list_schema(core_schema.typed_dict_schema(kept, extra_behavior="ignore"))


class _Evaluation(EvaluationRecord):
    cases: Annotated[list[dict[str, Any]], _RankedScores] = Field(default=[])
    validation_curve: Annotated[Curve, AfterValidator(lambda curve: [])] = Field(default=[])


class _Pretraining(PretrainingRecord):
    loss_curve: Annotated[list[float], AfterValidator(lambda losses: losses[:5] + losses[5:][-20:])] = Field(default=[])


def read_for_tables(store: Store) -> list[AnyRecord]:
    """Every success in `store` without curves and scores by class; of a loss curve its first 5 steps and last 20.

    What is equal in many records is one object.
    """
    known: dict[bytes, Any] = {}

    def shared(value: Any) -> Any:
        return known.setdefault(to_json(value), value)

    with no_collection():
        records = []
        for record in store.records(_Pretraining, _Evaluation):
            _share(record, shared)
            records.append(record)
        return records


def _share(record: AnyRecord, shared: Callable[[Any], Any]) -> None:
    """Put what is equal in other records into `record`; frozen as it is, nobody has it yet."""
    for name in ("setting", "provenance", "modules", "policy"):
        if name in record.__dict__:
            record.__dict__[name] = shared(record.__dict__[name])
    if isinstance(record, EvaluationRecord):
        for name in ("backbone", "data", "protocol_settings"):
            record.science.__dict__[name] = shared(record.science.__dict__[name])


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
