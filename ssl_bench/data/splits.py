"""Splits of a data set: files with a version and a digest, made patient by patient as far as those are known."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import floor
from typing import Literal

from pydantic import Field

from ssl_bench.api.cases import SPLITS, Problem, SourceCase, Split
from ssl_bench.api.settings import Settings, SplitCounts
from ssl_bench.errors import UserError
from ssl_bench.spec.folds import CrossValidation


class Fold(Settings):
    """Identifiers of cases."""

    train: tuple[str, ...] = Field(min_length=1)
    validation: tuple[str, ...] = Field(min_length=1)
    test: tuple[str, ...] = Field(min_length=1)


class Splits(Settings):
    """One fold, or several that cross-validate."""

    format: Literal["ssl-bench split 1"] = "ssl-bench split 1"
    task: str
    note: str
    """How it was made."""
    folds: tuple[Fold, ...] = Field(min_length=1)

    def digest(self, fold: int) -> str:
        """SHA-256, shortened, of which case is where in that fold, whatever the file is called."""
        places = {name: sorted(getattr(self.folds[fold], name)) for name in SPLITS}
        return hashlib.sha256(json.dumps(places, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def cross_validation(self) -> CrossValidation | None:
        """What the folds are together; None for a single one, and where a case is tested in several."""
        tested = [case for fold in self.folds for case in fold.test]
        if len(self.folds) == 1 or len(set(tested)) < len(tested):
            return None
        digests = json.dumps([self.digest(fold) for fold in range(len(self.folds))])
        return CrossValidation(digest=hashlib.sha256(digests.encode()).hexdigest()[:16], folds=len(self.folds))


def make_splits(task: str, cases: Sequence[SourceCase], counts: SplitCounts, folds: int = 1, seed: int = 0) -> Splits:
    """Deal patients at random, the same way whatever the order of `cases`; a classification is stratified.

    With one fold, `counts` gives the size of each split, or their proportion where there are more or fewer cases. With
    several, each is tested on one part, validated on the next and trained on the others. Test cases that the data set
    itself fixes stay in the test set. Raises UserError if a split would stay empty, and where the data set puts cases
    of one patient on both sides.
    """
    refuse_torn_patients(cases)
    fixed = [case for case in cases if case.split == "test"]
    free = [case for case in cases if case.split != "test"]
    if folds > 1:
        if fixed:
            raise UserError(f"task {task}: the data set fixes its test cases; leave --folds and --cross-validation out")
        parts = deal(free, [1] * folds, seed)
        dealt = [
            (
                [case for k, part in enumerate(parts) if k not in (fold, (fold + 1) % folds) for case in part],
                parts[(fold + 1) % folds],
                parts[fold],
            )
            for fold in range(folds)
        ]
        note = f"{folds} folds"
    elif fixed:
        train, validation = deal(free, [counts.train, counts.validation], seed)
        dealt, note = [(train, validation, fixed)], "the data set's own test cases"
    else:
        train, validation, test = deal(free, [counts.train, counts.validation, counts.test], seed)
        dealt, note = [(train, validation, test)], f"{counts.train}/{counts.validation}/{counts.test}"
        if len(free) != counts.train + counts.validation + counts.test:
            note += f" in proportion, over {len(free)} cases"
    for split_cases in dealt:
        for name, part in zip(SPLITS, split_cases, strict=True):
            if not part:
                raise UserError(
                    f"task {task}: {len(cases)} cases of {len({case.patient for case in cases})} patients leave no "
                    f"{name} case; add cases, or give --split FILE, or --subjects if these are not the patients"
                )
    made = [
        Fold.model_validate(dict(zip(SPLITS, (tuple(case.identifier for case in part) for part in parts), strict=True)))
        for parts in dealt
    ]
    return Splits(task=task, note=f"{note}, by {split_by(cases)}, seed {seed}", folds=tuple(made))


def split_by(cases: Iterable[SourceCase]) -> Literal["patient", "case"]:
    """Whether it is known of all `cases` who was scanned: else a split of them is one by case."""
    return "patient" if all(case.patient_is_known for case in cases) else "case"


def refuse_torn_patients(cases: Sequence[SourceCase]) -> None:
    """Raise UserError for the first of `torn_patients`."""
    for torn in torn_patients(cases):
        raise UserError(f"{torn.path}: {torn.reason}")


def torn_patients(cases: Sequence[SourceCase]) -> list[Problem]:
    """The test cases that the data set itself fixes of patients who have other cases too, one for each patient."""
    free: dict[str, SourceCase] = {case.patient: case for case in cases if case.split != "test"}
    torn = {case.patient: case for case in cases if case.split == "test" and case.patient in free}
    return [
        Problem(
            case.image,
            f"patient {patient!r} is in the data set's test cases ({case.identifier}) and in the others "
            f"({free[patient].identifier}); keep a patient's cases together, or say by --subjects who was scanned",
        )
        for patient, case in torn.items()
    ]


def nested_subset(identifiers: Sequence[str], strata: Sequence[int], fraction: float) -> list[str]:
    """The part of a training set that keeps its labels: a smaller fraction is always inside a larger one.

    At least one case of every stratum stays. `strata` holds the class of each case, or one number for all.
    """
    groups: dict[int, list[str]] = defaultdict(list)
    for identifier, stratum in zip(identifiers, strata, strict=True):
        groups[stratum].append(identifier)
    kept: set[str] = set()
    for group in groups.values():
        kept.update(in_random_order("label fraction", group)[: max(1, round(fraction * len(group)))])
    return [identifier for identifier in identifiers if identifier in kept]


def in_random_order(purpose: str, identifiers: Iterable[str]) -> list[str]:
    """`identifiers` in an order of their own for every purpose, the same wherever and however they were listed."""
    return sorted(identifiers, key=lambda identifier: _rank(purpose, identifier))


def deal(cases: Sequence[SourceCase], weights: Sequence[int], seed: int) -> list[list[SourceCase]]:
    """Parts of sizes proportional to `weights`, patients whole, every class in the same proportion."""
    strata: dict[int, list[list[SourceCase]]] = defaultdict(list)
    for patient in _patients(cases):
        strata[_stratum(patient)].append(patient)
    classes = [
        sorted(patients, key=lambda patient: _rank(seed, _drawn_as(patient))) for _, patients in sorted(strata.items())
    ]
    return _deal_several(classes, weights) if len(classes) > 2 else _deal_up_to_two(classes, weights)


def _deal_up_to_two(classes: Sequence[Sequence[list[SourceCase]]], weights: Sequence[int]) -> list[list[SourceCase]]:
    """The patients of each class to the part that lacks most: with one case a patient, the sizes are met exactly."""
    parts: list[list[SourceCase]] = [[] for _ in weights]
    total = sum(len(patient) for patients in classes for patient in patients)
    for number, patients in enumerate(classes, 1):
        sizes = _shares(sum(len(patient) for patient in patients), weights)
        if number == len(classes):
            # The last one makes up for the other's rounding, so that the sizes are met as a whole.
            sizes = [size - len(part) for size, part in zip(_shares(total, weights), parts, strict=True)]
        dealt = [0] * len(weights)
        for patient in patients:
            part = max(range(len(weights)), key=lambda k: (sizes[k] - dealt[k], -k))
            parts[part] += patient
            dealt[part] += len(patient)
    return parts


def _deal_several(classes: Sequence[Sequence[list[SourceCase]]], weights: Sequence[int]) -> list[list[SourceCase]]:
    """The patients of each class to the part that lacks most of the class or, by less than a patient, of all so far.

    So the rounding of many small classes does not add up, and no part goes without a class needlessly.
    """
    parts: list[list[SourceCase]] = [[] for _ in weights]
    proportions = [weight / sum(weights) for weight in weights]
    seen = 0
    for patients in classes:
        count = sum(len(patient) for patient in patients)
        seen += count
        dealt = [0] * len(weights)
        for patient in patients:
            lacks = [count * share - own for share, own in zip(proportions, dealt, strict=True)]
            owed = [seen * share - len(part) for share, part in zip(proportions, parts, strict=True)]
            whole = [floor(lack / len(patient) + 1e-9) for lack in lacks]
            part = max(range(len(weights)), key=lambda k: (whole[k], dealt[k] == 0, owed[k], -k))
            parts[part] += patient
            dealt[part] += len(patient)
    return parts


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole shares proportional to `weights`: the largest remainders round up, none is 0 needlessly."""
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(share) for share in exact]
    for k in sorted(range(len(weights)), key=lambda k: (shares[k] > 0, shares[k] - exact[k]))[: total - sum(shares)]:
        shares[k] += 1
    return shares


def _patients(cases: Iterable[SourceCase]) -> list[list[SourceCase]]:
    patients: dict[str, list[SourceCase]] = defaultdict(list)
    for case in cases:
        patients[case.patient].append(case)
    return list(patients.values())


def _drawn_as(patient: Sequence[SourceCase]) -> str:
    """What stands for a patient's cases in the random order."""
    return (len(patient) == 1 and patient[0].drawn_as) or patient[0].patient


def _stratum(patient: Sequence[SourceCase]) -> int:
    """A patient with any positive case counts as positive; segmentations and numbers are all of one stratum."""
    return max((case.label for case in patient if isinstance(case.label, int)), default=0)


def _rank(*parts: object) -> str:
    """A random place in an order that depends on names alone, not on how the cases were listed."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def split_of(splits: Splits, fold: int, name: Split) -> tuple[str, ...]:
    """The identifiers of one split of one fold. Raises UserError for a fold that is not there."""
    if not 0 <= fold < len(splits.folds):
        raise UserError(f"--fold {fold}: the split has folds 0 to {len(splits.folds) - 1}")
    found: tuple[str, ...] = getattr(splits.folds[fold], name)
    return found
