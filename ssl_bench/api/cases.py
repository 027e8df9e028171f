"""What a reader finds in a data set's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class SourceCase:
    """One case as it lies on disk."""

    identifier: str
    """Unique in the data set; letters, digits, ``.``, ``_`` and ``-`` only."""
    image: Path
    """A file, or the folder of a DICOM series."""
    label: Path | int
    """A file of label values on the image's grid; or the class of the whole volume."""
    patient: str
    """Cases of one patient never part."""
    split: str | None = None
    """The split that the data set itself fixes, if it does."""


@dataclass(frozen=True)
class Problem:
    """Something in a data set that cannot be used as it is."""

    path: Path
    """The file or folder it is about."""
    reason: str
    """What is wrong and what to do about it, in one line, without the path."""


class Found(NamedTuple):
    """What a folder holds."""

    cases: list[SourceCase]
    """In the order of their identifiers, numbers counted as numbers."""
    problems: list[Problem]
