"""Records parsed for tables: a hundred thousand in seconds, of which equal parts are one object.

A record is split at its top-level fields as text, so that only the fields that a table shows are parsed, and a text
that many records share, such as a setting or a backbone's specification, is parsed once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from operator import methodcaller
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from ssl_bench.spec.record import ModuleReport, Setting
from ssl_bench.spec.specification import DataSpec, ExternalBackbone, PretrainingSpec

_BY_CLASS = re.compile(rb'_per_class": \{[^}]*\}')
"""Scores by class, most of a record; quotes within a text are escaped, so that no text looks like it.

Where a class is named after a brace, what is left is no JSON, and the record is parsed whole.
"""


_NAME_AND_VALUE = methodcaller("split", b'": ', 1)


class EvaluationFields(TypedDict, total=False):
    """What a table shows of an evaluation, as `EvaluationRecord` and `EvaluationSpec` define it."""

    key: str
    data: str
    paradigm: str
    scene: Literal["inner", "inter", "unknown", "none"]
    metric: Literal["DSC", "AUC"]
    score: float | None
    best_step: int
    converged: bool
    licence: str
    cases_digest: str
    cost: dict[str, float | None]
    health: dict[str, float | None]
    overlap: list[str]
    left_out: list[str]
    task: str
    protocol: str
    precision: Literal["float32", "bf16"]
    seed: int
    validation_curve: list[dict[str, float | None]]


class PretrainingFields(TypedDict, total=False):
    """What a table shows of a pre-training, as `PretrainingRecord` defines it."""

    key: str
    data: str
    cost: dict[str, float | None]
    health: dict[str, float | None]
    volumes_seen: int
    loss_curve: list[float]
    held_out_curve: list[dict[str, float | None]]


Parsed = TypeVar("Parsed")
_OF_SPECIFICATION = (b"task", b"protocol", b"precision", b"seed")
_EVALUATION_NAMES = tuple(
    name for name in map(str.encode, EvaluationFields.__annotations__) if name not in _OF_SPECIFICATION
)
_PRETRAINING_NAMES = tuple(map(str.encode, PretrainingFields.__annotations__))
_EVALUATION = TypeAdapter(EvaluationFields)
_PRETRAINING = TypeAdapter(PretrainingFields)
_CASES = TypeAdapter(list[dict[str, Any]])
_SETTING = TypeAdapter(Setting)
_BACKBONE: TypeAdapter[PretrainingSpec | ExternalBackbone] = TypeAdapter(PretrainingSpec | ExternalBackbone)
_PRETRAINING_SPEC = TypeAdapter(PretrainingSpec)
_DATA = TypeAdapter(DataSpec)
_MODULES = TypeAdapter(ModuleReport | None)
_ANYTHING: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class ParsedRecord:
    """One record. What a caller asks for is parsed then; all methods raise ValueError or KeyError where it is not."""

    def __init__(self, document: bytes, known: dict[tuple[bytes, bytes], Any], by_class: bool) -> None:
        """`known` holds what records share; scores by class are left out unless `by_class`."""
        self._fields = _fields_of((document if by_class else _BY_CLASS.sub(b'_per_class": 0', document)).strip(), 1)
        self._known = known

    def setting(self) -> Setting:
        """The setting of the cell."""
        return self._shared(b"setting", _SETTING, self._fields)

    def provenance(self) -> dict[str, Any]:
        """As in the record."""
        return self._shared(b"provenance", _ANYTHING, self._fields)

    def modules(self) -> ModuleReport | None:
        """What happened to the network's parts in an evaluation; None where the record does not say."""
        return self._shared(b"modules", _MODULES, self._fields) if b"modules" in self._fields else None

    def pretraining(self) -> PretrainingSpec:
        """The specification of a pre-training."""
        return self._shared(b"science", _PRETRAINING_SPEC, self._fields)

    def evaluation(self, curves: bool) -> tuple[PretrainingSpec | ExternalBackbone, DataSpec, bytes, EvaluationFields]:
        """An evaluation's backbone, its data, what else decided its scores but the seed, and its other fields.

        The validation curve is left out unless `curves`.
        """
        spec = _fields_of(self._fields[b"science"].removesuffix(b","), 2)
        names = _EVALUATION_NAMES if curves else _EVALUATION_NAMES[:-1]
        fields = _EVALUATION.validate_json(_json({name: spec[name] for name in _OF_SPECIFICATION} | self._some(names)))
        downstream = b"".join([spec[name] for name in (b"protocol_settings", b"crop", b"overlap")])
        downstream = self._known.setdefault((b"downstream", downstream), downstream)
        return self._shared(b"backbone", _BACKBONE, spec), self._shared(b"data", _DATA, spec), downstream, fields

    def pretraining_fields(self) -> PretrainingFields:
        """The rest of a pre-training."""
        return _PRETRAINING.validate_json(_json(self._some(_PRETRAINING_NAMES)))

    def cases(self) -> list[dict[str, Any]]:
        """The scores of the test cases."""
        found = from_json(self._fields.get(b"cases", b"[]").removesuffix(b","))
        return found if type(found) is list and set(map(type, found)) <= {dict} else _CASES.validate_python(found)

    def _some(self, names: Iterable[bytes]) -> dict[bytes, bytes]:
        fields = self._fields
        return {name: fields[name] for name in names if name in fields}

    def _shared(self, name: bytes, parser: TypeAdapter[Parsed], fields: Mapping[bytes, bytes]) -> Parsed:
        place = name, fields[name]
        known: Parsed | None = self._known.get(place)
        if known is None:
            known = self._known[place] = parser.validate_json(place[1].removesuffix(b","))
        return known


def parser_of(build: Callable[[ParsedRecord], Parsed], by_class: bool = False) -> Callable[[bytes], Parsed]:
    """A parser of records for `Store.read` that gives `build` of each; equal parts of them are one object.

    `by_class` asks for the scores of every class. The parser raises ValueError for a record that does not read.
    """
    known: dict[tuple[bytes, bytes], Any] = {}

    def parse(document: bytes) -> Parsed:
        try:
            return build(ParsedRecord(document, known, by_class))
        except (ValueError, KeyError):
            # Its JSON may be laid out in another way than this program's.
            again = to_json(from_json(document), indent=1)
        try:
            return build(ParsedRecord(again, known, by_class=True))
        except KeyError as error:
            raise ValueError(f"lacks {error}") from error

    return parse


def _fields_of(text: bytes, depth: int) -> dict[bytes, bytes]:
    """The JSON of each field of an object that is indented by one space a level, with the comma behind it.

    No line within a field begins with as few spaces, and no text holds a line break: JSON escapes them. Raises
    ValueError for another layout.
    """
    start, end = b"\n" + b" " * depth + b'"', b"\n" + b" " * (depth - 1) + b"}"
    if not (text.startswith(b"{" + start) and text.endswith(end)):
        raise ValueError("another layout")
    return dict(map(_NAME_AND_VALUE, text[len(start) + 1 : -len(end)].split(start)))


def _json(fields: Mapping[bytes, bytes]) -> bytes:
    return b"{%b}" % b",".join([b'"%b":%b' % (name, value.removesuffix(b",")) for name, value in fields.items()])
