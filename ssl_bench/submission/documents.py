"""From the files of a bundle to records: each is what the manifest says, reads, and holds nothing but a record."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ssl_bench.planning.reproduction import cell_of
from ssl_bench.spec.record import SCHEMA, TRACEBACK_CHARACTERS, AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.store.store import Store
from ssl_bench.submission.finding import Finding, refused

LONGEST_TEXT = 2_000
"""Of a record's texts but the traceback; a policy has some hundred characters."""
LONGEST_NAME = 200
MOST_NUMBERS = 1_000
"""Of one measure of a case: some for each class."""
ROUNDING = 1e-6
"""By so much a probability that was added up in single precision may lie above 1."""


class UnreadableError(ValueError):
    """Why a file is no record."""


def parsed(path: str, content: bytes) -> AnyRecord:
    """The record in the file at `path` of a bundle. Raises UnreadableError, with the reason, for anything else."""
    document = strict_json(content)
    schema = document.get("schema_version")
    if schema != SCHEMA:
        raise UnreadableError(f"is a record of schema {schema!r}, and this version knows {SCHEMA}; update ssl-bench")
    kind = PretrainingRecord if path.startswith("pretrained/") else EvaluationRecord
    try:
        record: AnyRecord = kind.model_validate_json(content)
        dumped = json.loads(record.model_dump_json())
    except (ValidationError, ValueError) as error:
        raise UnreadableError(f"does not read as a record ({_first(error)})") from error
    if unknown := next(_unknown(document, dumped), None):
        raise UnreadableError(f"holds {unknown}, which no record has: a bundle is of records alone")
    return record


def document_findings(path: str, record: AnyRecord) -> Iterator[Finding]:
    """What is wrong with `record` as a document at `path`."""
    if record.status != "ok":
        yield refused("is of an attempt that failed: a bundle is of successes")
    if record.key != record.spec.key:
        yield refused(f"has the key {record.key}, and its specification hashes to {record.spec.key}")
    elif path != place_of(record):
        yield refused(f"lies where a record of another cell does; its own place is {place_of(record)}")
    for name, text in _texts(record.model_dump(mode="json", by_alias=True)):
        if len(text) > (TRACEBACK_CHARACTERS if name == "traceback" else LONGEST_TEXT):
            yield refused(f"holds {len(text)} characters as {name}: records have no images and no weights")
            break
    if record.kind == "evaluation":
        for row in [*record.cases, *(row for grade in record.shifted for row in grade.cases)]:
            if said := next(filter(None, (_no_score(name, value) for name, value in row.items())), None):
                yield refused(f"case {row.get('case')}: {said}")
                break


def place_of(record: AnyRecord) -> str:
    """Where `record` lies in a bundle: as in a results folder."""
    return Store(Path()).record_path(cell_of(record)).as_posix()


def strict_json(content: bytes) -> dict[str, Any]:
    """A JSON object in which no name stands twice and all numbers are. Raises UnreadableError for anything else."""
    try:
        found = json.loads(content, object_pairs_hook=_once, parse_constant=_no_number)
    except UnreadableError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"does not read as JSON ({_first(error)})") from error
    if not isinstance(found, dict):
        raise UnreadableError("does not read as a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise UnreadableError(f"says {next(name for name in names if names.count(name) > 1)} twice")
    return found


def _no_number(constant: str) -> float:
    raise UnreadableError(f"holds {constant}, which JSON has not; what is undefined is null")


def _unknown(document: Any, dumped: Any, place: str = "") -> Iterator[str]:
    """The names in `document` that a record as it is written has not."""
    if isinstance(document, dict) and isinstance(dumped, dict):
        for name, value in document.items():
            here = f"{place}.{name}" if place else name
            if name in dumped:
                yield from _unknown(value, dumped[name], here)
            else:
                yield here
    elif isinstance(document, list) and isinstance(dumped, list):
        for one, other in zip(document, dumped, strict=False):
            yield from _unknown(one, other, place)


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text below `value`, names included, with the name under which it stands."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield name, str(key)
            yield from _texts(below, str(key))
    elif isinstance(value, list):
        for below in value:
            yield from _texts(below, name)


def _no_score(name: str, value: Any) -> str:
    """Why `value` is nothing that a record says of a case; empty where it may be."""
    if isinstance(value, str):
        return "" if len(value) <= LONGEST_NAME else f"{name} has {len(value)} characters"
    said = list(islice(_leaves(value), MOST_NUMBERS + 1))
    if len(said) > MOST_NUMBERS:
        return f"{name} has more than {MOST_NUMBERS} numbers: records have no images"
    if any(isinstance(each, bool) or not isinstance(each, int | float | None) for each in said):
        return f"{name} holds what is no number"
    known = [each for each in said if each is not None]
    if any((isinstance(each, int) and abs(each) > 2**53) or not math.isfinite(each) for each in known):
        return f"{name} is no finite number"
    is_share = name.startswith(("dsc", "probabilit", "average_precision"))
    if is_share and any(not 0 <= each <= 1 + ROUNDING for each in known):
        return f"{name} is not between 0 and 1"
    return ""


def _leaves(value: Any) -> Iterator[Any]:
    """What `value` is made of, names apart."""
    if isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _leaves(below)
    else:
        yield value


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors()[0]
        return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
    return str(error)
