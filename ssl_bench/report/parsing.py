"""Records parsed for tables: a hundred thousand in seconds, of which equal parts are one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Required, TypeVar

import orjson
from pydantic import Field, TypeAdapter
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from ssl_bench.api.controls import Control
from ssl_bench.api.metric import MetricName
from ssl_bench.spec.folds import CrossValidation
from ssl_bench.spec.record import SCHEMA, ModuleReport, Setting
from ssl_bench.spec.specification import DataSpec, ExternalBackbone, Part, PretrainingSpec, Stem


class ShiftedFields(TypedDict):
    """What a table shows of one grade of a shift, as `ShiftedScores` defines it."""

    shift: str
    grade: int
    strength: float
    cases: list[dict[str, Any]]


class EvaluationFields(TypedDict, total=False):
    """What a table shows of an evaluation, as `EvaluationRecord` and `EvaluationSpec` define it."""

    key: str
    data: str
    paradigm: str
    scene: Literal["inner", "inter", "unknown", "none"]
    metric: MetricName
    score: float | None
    beside: dict[str, float | None]
    best_step: int
    steps_made: int
    learning_rate: float | None
    learning_rate_interior: bool | None
    converged: bool
    never_predicted: list[str] | None
    licence: str
    policy: str
    cases_digest: str
    cost: dict[str, float | None]
    health: dict[str, float | None]
    overlap: list[str]
    left_out: list[str]
    split_by: Literal["", "patient", "case"]
    task: str
    protocol: str
    protocol_source: str | None
    precision: Literal["float32", "bf16"]
    seed: int
    reset: Part
    stem: Stem
    snapshot: int | None
    shifted: list[ShiftedFields]
    trained_on_shifts: list[str] | None
    control: Control
    validation_curve: list[dict[str, float | None]]


class SnapshotFields(TypedDict, total=False):
    """What a table shows of a snapshot, as `Snapshot` defines it."""

    step: Required[int]
    stage_ranks: dict[str, float | None]


class PretrainingFields(TypedDict, total=False):
    """What a table shows of a pre-training, as `PretrainingRecord` defines it."""

    key: str
    data: str
    cost: dict[str, float | None]
    health: dict[str, float | None]
    volumes_seen: int
    loss_curve: list[float]
    held_out_curve: list[dict[str, float | None]]
    stage_ranks: list[dict[str, float | None]]
    trained_stages: dict[str, int]
    snapshots: list[SnapshotFields]


Parsed = TypeVar("Parsed")
_OF_SPECIFICATION = (
    *("task", "protocol", "protocol_source", "precision", "seed", "reset", "stem", "snapshot", "control"),
)
_EVALUATION = TypeAdapter(EvaluationFields)
_PRETRAINING = TypeAdapter(PretrainingFields)
_CASES = TypeAdapter(list[dict[str, Any]])
_SETTING = TypeAdapter(Setting)
_BACKBONE: TypeAdapter[PretrainingSpec | ExternalBackbone] = TypeAdapter(PretrainingSpec | ExternalBackbone)
_PRETRAINING_SPEC = TypeAdapter(PretrainingSpec)
_DATA = TypeAdapter(DataSpec)
_MODULES = TypeAdapter(ModuleReport | None)
_CROSS_VALIDATION = TypeAdapter(CrossValidation | None)
_SCHEMA: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(le=SCHEMA)])
_ANYTHING: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class ParsedRecord:
    """One record; a method validates what it gives, and raises ValueError or KeyError where the record has it not."""

    def __init__(self, document: bytes, known: dict[tuple[str, bytes], Any]) -> None:
        """`known` holds what records share."""
        self._fields = _ANYTHING.validate_python(_from_json(document))
        self._known = known
        _SCHEMA.validate_python(self._fields.get("schema_version", SCHEMA))

    @property
    def is_trial(self) -> bool:
        """Whether an evaluation chose options: it is scored on validation cases, and compares nothing."""
        return bool(_ANYTHING.validate_python(self._fields["science"]).get("scored_on", "test") != "test")

    def setting(self) -> Setting:
        """The setting of the cell."""
        return self._shared("setting", _SETTING, self._fields)

    def provenance(self) -> dict[str, Any]:
        """The provenance, as the record holds it."""
        return self._shared("provenance", _ANYTHING, self._fields)

    def modules(self) -> ModuleReport | None:
        """What happened to each module in an evaluation; None where the record does not say."""
        return self._shared("modules", _MODULES, self._fields) if "modules" in self._fields else None

    def cross_validation(self) -> CrossValidation | None:
        """The folds of which an evaluation's is one; None where the record does not say."""
        name = "cross_validation"
        return self._shared(name, _CROSS_VALIDATION, self._fields) if name in self._fields else None

    def pretraining(self) -> PretrainingSpec:
        """The specification of a pre-training."""
        return self._shared("science", _PRETRAINING_SPEC, self._fields)

    def evaluation(self) -> tuple[PretrainingSpec | ExternalBackbone, DataSpec, bytes, EvaluationFields]:
        """An evaluation's backbone, data, all else that decided its scores but the seed, and the other fields shown."""
        spec = _ANYTHING.validate_python(self._fields["science"])
        decided = {name: spec[name] for name in _OF_SPECIFICATION if name in spec}
        fields = _EVALUATION.validate_python(self._fields | decided)
        downstream = to_json([spec[name] for name in ("protocol_settings", "crop", "overlap")])
        downstream = self._known.setdefault(("downstream", downstream), downstream)
        return self._shared("backbone", _BACKBONE, spec), self._shared("data", _DATA, spec), downstream, fields

    def pretraining_fields(self) -> PretrainingFields:
        """The rest of a pre-training."""
        return _PRETRAINING.validate_python(self._fields)

    def cases(self) -> list[dict[str, Any]]:
        """The scores of the test cases."""
        return _CASES.validate_python(self._fields.get("cases", []))

    def _shared(self, name: str, parser: TypeAdapter[Parsed], fields: Mapping[str, Any]) -> Parsed:
        place = name, to_json(fields[name])
        known: Parsed | None = self._known.get(place)
        if known is None:
            known = self._known[place] = parser.validate_json(place[1])
        return known


def parser_of(build: Callable[[ParsedRecord], Parsed]) -> Callable[[bytes], Parsed]:
    """A parser of records for `Store.read` that gives `build` of each; equal parts of them are one object.

    It raises ValueError for a record that does not read.
    """
    known: dict[tuple[str, bytes], Any] = {}

    def parse(document: bytes) -> Parsed:
        try:
            return build(ParsedRecord(document, known))
        except KeyError as error:
            raise ValueError(f"lacks {error}") from error

    return parse


def _from_json(document: bytes) -> Any:
    try:
        return orjson.loads(document)
    # What JSON does not have but Python's writers put there: NaN, and numbers larger than any float.
    except orjson.JSONDecodeError:
        return from_json(document)
