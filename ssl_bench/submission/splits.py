"""Which cases a record tested, against what its specification says, and the splits of folds that are all there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from ssl_bench.data.splits import Fold, Splits
from ssl_bench.protocols.geometry.pairs import pairs_of
from ssl_bench.spec.folds import CrossValidation
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.submission.finding import Finding, at, refused, unvouched
from ssl_bench.training.aggregates import measurement_of

Placed = Mapping[str, EvaluationRecord]
"""Evaluations by their paths in the bundle."""


def case_findings(record: EvaluationRecord) -> Iterator[Finding]:
    """What is wrong with the names of the cases that `record` tested, and with how its options were chosen."""
    spec, tested = record.spec, tested_cases(record)
    if (tuned := record.setting.tuned_on) and spec.scored_on == "test":
        if spec.seed in tuned.seeds:
            yield refused(f"has seed {spec.seed}, with which its options were tuned")
        if record.cross_validation and spec.task in tuned.tasks:
            yield refused(f"is tuned on validation cases of {spec.task}, which other folds test")
        yield unvouched("options that were tuned: their trials are not run again")
    if record.overlap:
        yield unvouched("test cases that the pre-training corpus shows too, which the submitter allowed")
    if spec.scored_on == "validation":
        return
    if twice := [name for name, count in Counter(row.get("case") for row in record.cases).items() if count > 1]:
        yield refused(f"tests case {twice[0]} twice")
    expected = spec.data.counts.test
    if spec.data.is_real:
        yield unvouched(f"voxels, labels and splits of {spec.task} beyond the names of test cases: data of a folder")
    elif others := sorted(set(tested) - {f"test-{number:03d}" for number in range(min(expected, len(tested)))}):
        yield refused(f"tests case {others[0]}, which is none of the {expected} test cases of the embedded cohort")
    if len(tested) != expected:
        yield refused(f"says something of {len(tested)} test cases, and its specification has {expected}")
    elif (pairs := _expected_pairs(record)) is not None and len(record.cases) != pairs:
        yield refused(f"says something of {len(record.cases)} pairs of test cases, and its protocol looks at {pairs}")


def tested_cases(record: EvaluationRecord) -> tuple[str, ...]:
    """The names of the cases that a record speaks of, sorted; of a pair, called ``ONE:OTHER``, both."""
    return tuple(sorted({name for row in record.cases for name in str(row.get("case")).split(":")}))


def _expected_pairs(record: EvaluationRecord) -> int | None:
    """How many pairs of test cases the record's protocol looks at; None for one that looks at cases."""
    protocol = measurement_of(record)
    if protocol is None or not _is_of_pairs(record):
        return None
    settings: Any = protocol.Settings.model_validate(record.spec.protocol_settings)
    return len(pairs_of(record.spec.data.counts.test, settings.partners))


def _is_of_pairs(record: EvaluationRecord) -> bool:
    return any("partner" in row for row in record.cases)


def split_findings(records: Placed) -> Iterator[Finding]:
    """What is wrong between records of one data set: other cases, labels or splits under one name."""
    yield from _of_one_split(records)
    yield from _labels(records)
    yield from _met(records)
    yield from _dealt_folds(records)


def _of_one_split(records: Placed) -> Iterator[Finding]:
    """Records of one split tested the same cases, and no case is tested in two folds of one cross-validation."""
    first: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {}
    fold_of: dict[tuple[str, str], tuple[int, str]] = {}
    for path, record in _scored_by_case(records):
        data, folds = record.spec.data, record.cross_validation
        place = (record.spec.task, data.fingerprint, data.split, str(data.fold), str(data.counts.test))
        other, cases = first.setdefault(place, (path, tested_cases(record)))
        if cases != tested_cases(record):
            yield from at(path, [refused(f"tests other cases than {other}, which is of the same split")])
        for case in tested_cases(record) if folds else ():
            assert folds is not None
            fold, other = fold_of.setdefault((folds.digest, case), (data.fold or 0, path))
            if fold != (data.fold or 0):
                yield from at(path, [refused(f"tests {case}, which is a test case of fold {fold} in {other}")])
                break


def _labels(records: Placed) -> Iterator[Finding]:
    """A case has one label, whoever predicts it."""
    known: dict[tuple[str, str, str], tuple[object, str]] = {}
    for path, record in _scored_by_case(records):
        for row in record.cases:
            place = (record.spec.task, record.spec.data.fingerprint, str(row.get("case")))
            label, other = known.setdefault(place, (row.get("label"), path))
            if label != row.get("label"):
                yield from at(path, [refused(f"case {place[2]} is of {row.get('label')}, and of {label} in {other}")])
                break


def _met(records: Placed) -> Iterator[Finding]:
    """Records of one specification of data met the same voxels and labels, as far as they say so."""
    known: dict[tuple[str, str, str], tuple[str, str]] = {}
    for path, record in records.items():
        place = (record.spec.task, record.spec.data.model_dump_json(), record.spec.scored_on)
        if record.cases_digest:
            digest, other = known.setdefault(place, (record.cases_digest, path))
            if digest != record.cases_digest:
                yield from at(path, [refused(f"met other voxels or labels than {other}, which names the same data")])


def _dealt_folds(records: Placed) -> Iterator[Finding]:
    """Folds that were dealt are known from their test cases, once all of them are there: see `make_splits`."""
    found: dict[tuple[str, CrossValidation], dict[int, tuple[str, EvaluationRecord]]] = defaultdict(dict)
    for path, record in _scored_by_case(records):
        if record.cross_validation and record.cross_validation.dealt:
            found[record.spec.task, record.cross_validation].setdefault(record.spec.data.fold or 0, (path, record))
    for (task, folds), of_fold in found.items():
        if len(of_fold) != folds.folds or set(of_fold) != set(range(len(of_fold))):
            yield unvouched(f"the split of {task}: {len(of_fold)} of {folds.folds} folds are here")
            continue
        splits = _splits_of(task, [tested_cases(of_fold[fold][1]) for fold in range(folds.folds)])
        if splits.cross_validation is None or splits.cross_validation.digest != folds.digest:
            yield refused(
                f"the {folds.folds} folds of {task} are not the cross-validation {folds.digest} that they name"
            )
        for fold, (path, record) in sorted(of_fold.items()):
            if splits.digest(fold) != record.spec.data.split:
                yield from at(path, [refused(f"fold {fold} is not the split {record.spec.data.split} that it names")])


def _splits_of(task: str, parts: list[tuple[str, ...]]) -> Splits:
    """Each fold is tested on one part, validated on the next and trained on the others."""
    count = len(parts)
    folds = [
        Fold(
            train=tuple(name for k in range(count) if k not in (fold, (fold + 1) % count) for name in parts[k]),
            validation=parts[(fold + 1) % count],
            test=parts[fold],
        )
        for fold in range(count)
    ]
    return Splits(task=task, note="", folds=tuple(folds))


def _scored_by_case(records: Placed) -> Iterator[tuple[str, EvaluationRecord]]:
    """Those that say something of every test case by itself."""
    for path, record in records.items():
        if record.spec.scored_on == "test" and not _is_of_pairs(record):
            yield path, record
