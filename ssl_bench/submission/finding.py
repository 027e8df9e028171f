"""What a look at a bundle finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

LONGEST_REASON = 400


class Finding(NamedTuple):
    """Something about a bundle, or about one of its records."""

    kind: Literal["refused", "unvouched"]
    """What was recomputed and is not so; or what cannot be recomputed here."""
    reason: str
    """In words; those of an ``unvouched`` one go on after "cannot vouch for"."""
    place: str = ""
    """The record's path in the bundle; empty for the bundle as a whole."""


def refused(reason: str) -> Finding:
    """What is not as it was recomputed."""
    return Finding("refused", printable(reason))


def unvouched(reason: str) -> Finding:
    """What nothing here can recompute."""
    return Finding("unvouched", printable(reason))


def at(place: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """`findings` about the record at `place`."""
    for finding in findings:
        yield finding._replace(place=place)


def printable(text: str) -> str:
    """One line of bounded length that no terminal obeys: bundles come from anywhere."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}..."
