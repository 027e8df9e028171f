"""Folds that nnU-Net made: its ``splits_final.json``, which has no test cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from ssl_bench.api.cases import SourceCase
from ssl_bench.api.settings import SplitCounts, first_complaint
from ssl_bench.data.splits import Fold, Splits, deal
from ssl_bench.errors import UserError


class NnunetFold(BaseModel):
    """One fold: nnU-Net trains on `train` and reports the scores of `val`."""

    train: tuple[str, ...] = Field(min_length=1)
    val: tuple[str, ...] = Field(min_length=1)


_FOLDS: TypeAdapter[list[NnunetFold]] = TypeAdapter(list[NnunetFold])


def read_nnunet_splits(text: bytes, path: Path, task: str, cases: Sequence[SourceCase], counts: SplitCounts) -> Splits:
    """The folds in ``splits_final.json``, whose `text` was read from `path`, as splits of `cases`.

    Where the data set fixes its test cases, each fold's val is the validation set. Else val is tested, as nnU-Net
    scores it, and a validation set is dealt out of train, in the proportion of `counts`, patients whole. Raises
    UserError for what is no such file, and for cases that are not in the data.
    """
    try:
        folds = _FOLDS.validate_json(text)
    except ValidationError as error:
        complaint = first_complaint(error, "file")
        raise UserError(f"--split {path}: {complaint}; nnU-Net's folds are a list of train and val") from error
    if not folds:
        raise UserError(f"--split {path}: holds no fold; nnU-Net's folds are a list of train and val")
    by_name = {case.drawn_as or case.patient: case for case in cases} | {case.identifier: case for case in cases}
    test = tuple(case.identifier for case in cases if case.split == "test")
    made = []
    for number, fold in enumerate(folds):
        train, val = (_cases(names, by_name, f"--split {path}: fold {number}") for names in (fold.train, fold.val))
        if test:
            made.append(Fold(train=_names(train), validation=_names(val), test=test))
            continue
        kept, validation = deal(train, [counts.train, counts.validation], 0)
        if not (kept and validation):
            raise UserError(f"--split {path}: fold {number}: has too few train cases to validate on; give --split FILE")
        made.append(Fold(train=_names(kept), validation=_names(validation), test=_names(val)))
    told = (
        "val for validation, the data set's own test cases" if test else "val for test, validation dealt out of train"
    )
    return Splits(task=task, note=f"nnU-Net's {path.name}, {told}", folds=tuple(made))


def _cases(names: Sequence[str], by_name: Mapping[str, SourceCase], where: str) -> list[SourceCase]:
    for name in names:
        if name not in by_name:
            raise UserError(f"{where}: case {name!r} is not in the data; correct its name, or name another --split")
    return [by_name[name] for name in names]


def _names(cases: Sequence[SourceCase]) -> tuple[str, ...]:
    return tuple(case.identifier for case in cases)
