"""Splits in files: those that ``ssl-bench data split`` writes, and nnU-Net's folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from ssl_bench.api.cases import SPLITS, SourceCase
from ssl_bench.api.settings import SplitCounts, first_complaint
from ssl_bench.data.nnunet_splits import read_nnunet_splits
from ssl_bench.data.splits import Splits
from ssl_bench.errors import UserError
from ssl_bench.files import atomic_write


def read_splits(path: Path, task: str, cases: Sequence[SourceCase], counts: SplitCounts) -> Splits:
    """The splits of `cases` in a file of ours, or of nnU-Net's, see `read_nnunet_splits`.

    Raises UserError if it does not read, names a case that is not there or one twice, or parts the cases of a
    patient.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"--split {path}: cannot be read ({error.strerror}); write one with ssl-bench data split"
        ) from error
    if text.lstrip().startswith(b"["):
        splits = read_nnunet_splits(text, path, task, cases, counts)
    else:
        try:
            splits = Splits.model_validate_json(text)
        except ValidationError as error:
            complaint = first_complaint(error, "file")
            raise UserError(f"--split {path}: {complaint}; write one with ssl-bench data split") from error
    _require_whole(splits, path, cases)
    return splits


def write_splits(splits: Splits, path: Path) -> None:
    """Write the file that `read_splits` reads."""
    with atomic_write(path) as temporary:
        temporary.write_text(splits.model_dump_json(indent=1) + "\n", "utf-8")


def _require_whole(splits: Splits, path: Path, cases: Sequence[SourceCase]) -> None:
    """Raise UserError if a fold in the file `path` names a case that is not there or one twice, or parts a patient."""
    patients = {case.identifier: case.patient for case in cases}
    for number, fold in enumerate(splits.folds):
        where: dict[str, tuple[str, str]] = {}
        named: set[str] = set()
        for name in SPLITS:
            for identifier in getattr(fold, name):
                if identifier not in patients:
                    raise UserError(
                        f"--split {path}: fold {number}: case {identifier!r} is not in the data; correct its name"
                    )
                patient = patients[identifier]
                first, other = where.setdefault(patient, (name, identifier))
                if first != name:
                    raise UserError(
                        f"--split {path}: fold {number}: patient {patient!r} is in {first} and in {name} ({other} and "
                        f"{identifier}); keep a patient's cases together, give another --split, or say by --subjects "
                        "who was scanned"
                    )
                if identifier in named:
                    raise UserError(f"--split {path}: fold {number}: case {identifier!r} is twice in {name}; keep one")
                named.add(identifier)
