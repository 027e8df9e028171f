"""Where volumes come from: one object for each use, whatever they are grown from or read from."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Generic, Literal, Self, TypeVar

import numpy as np

from ssl_bench.api.cases import Case, Split
from ssl_bench.data.preprocessing.signature import Signature
from ssl_bench.data.synthetic.truth import Truth
from ssl_bench.errors import UserError
from ssl_bench.spec.folds import CrossValidation
from ssl_bench.spec.specification import CorpusSpec, DataSpec

Spec = TypeVar("Spec", CorpusSpec, DataSpec)


class DataSource(ABC, Generic[Spec]):
    """The cases of a task, or the scans of a corpus."""

    place: str
    """What chose it, for messages: an option and its path, or a task."""

    @abstractmethod
    def describe(self) -> Spec:
        """What identifies the volumes: this is hashed. Raises UserError for what cannot be used."""

    @abstractmethod
    def load(self, *parts: str) -> Mapping[str, list[Case]]:
        """Memory-mapped cases by split: those of `SPLITS`, or ``corpus`` and ``held-out``.

        Where `parts` are named, only theirs: no other case is touched.

        They are grown or prepared at the first call and read from the cache afterwards.
        """

    def truth(self, *parts: str) -> Truth | None:
        """Where every place of a case of `parts` lies in another; None where nobody knows: of real cases."""
        return None

    @property
    def left_out(self) -> tuple[str, ...]:
        """What could not be used, by file, with the reason."""
        return ()

    @property
    def split_by(self) -> Literal["", "patient", "case"]:
        """By what a folder's cases are split: by case where nothing says who was scanned."""
        return ""

    @property
    def folds(self) -> int:
        """How many folds the split has."""
        return 1

    @property
    def cross_validation(self) -> CrossValidation | None:
        """The folds of which this is one, if they pool."""
        return None

    def at_fold(self, fold: int) -> Self:
        """The same cases in another fold. Raises UserError for one that is not there."""
        if fold:
            raise UserError(f"--fold {fold}: the embedded cohort has one split; give --data-root")
        return self

    def patients(self) -> dict[str, str]:
        """Whose scans must not be in a corpus, as far as it is known, by the names of their cases."""
        return {}

    def scans_of(self, patients: Collection[str], root: Path, subjects: str) -> list[tuple[str, str]]:
        """The scans of a corpus, by file, that are of one of the `patients` of a data set in `root`, with the patient.

        `subjects` is what the user says of whom was scanned, see `with_subjects`.
        """
        return []

    def signatures(self) -> list[tuple[str, Signature]]:
        """The scans, by name, that must not be in a corpus and in a validation or test set at once."""
        return []


def check_classes(place: str, parts: Mapping[Split, Sequence[float]], way_out: str, names: Sequence[str] = ()) -> None:
    """Raise UserError, before anything is trained, for a part of a classification that lacks cases of a class.

    Of such cases nothing is learned, and no AUC is defined on them. `parts` holds the classes of each part's cases,
    `names` what they are called; empty for 0 and 1.
    """
    for part, classes in parts.items():
        if missing := [name for index, name in enumerate(names) if index not in classes]:
            raise UserError(f"{place}: no case of class {missing[0]!r} in the {part} part of {len(classes)}; {way_out}")
        if names:
            continue
        if len(set(classes)) == 1:
            raise UserError(
                f"{place}: one class alone in the {part} part: all {len(classes)} of class {classes[0]}, "
                f"none of class {1 - classes[0]}; {way_out}"
            )


def cases_digest(cases: Sequence[Case]) -> str:
    """A digest of the voxels and labels themselves, so that two records can be seen to have met the same cases."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(np.ascontiguousarray(case.image).tobytes())
        digest.update(np.ascontiguousarray(case.label).tobytes())
    return digest.hexdigest()[:16]
