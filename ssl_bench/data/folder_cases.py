"""A task's data set in a folder of the user's: its cases, split by patient as far as those are known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from copy import copy
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Self

from ssl_bench.api.cases import SPLITS, Case, Found, Split
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.registry import TASKS
from ssl_bench.api.settings import SplitCounts
from ssl_bench.data.folder_source import FolderSource, Preparation, changed
from ssl_bench.data.preprocessing.case_folder import PreparedCase
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.signature import Signature
from ssl_bench.data.source import check_classes
from ssl_bench.data.split_files import read_splits
from ssl_bench.data.splits import Splits, make_splits, nested_subset, refuse_torn_patients, split_by, split_of
from ssl_bench.data.subjects import with_subjects
from ssl_bench.errors import UserError
from ssl_bench.spec.folds import CrossValidation
from ssl_bench.spec.specification import DataSpec


class FolderCases(FolderSource[DataSpec]):
    """A task's data set, split by patient as far as those are known."""

    def __init__(
        self,
        task: str,
        root: Path,
        preparation: Preparation,
        changes: Mapping[str, Any],
        split: Path | None = None,
        fold: int = 0,
        label_fraction: float = 1.0,
        subjects: str = "",
        cross_validation: int = 0,
    ) -> None:
        """`changes` are changed fields of the preprocessing, `split` is a file that ``ssl-bench data split`` writes.

        `subjects` says who was scanned, see `with_subjects`; `cross_validation` deals so many folds, as that command
        does, whatever lies beside the data.

        Raises UserError for a task without a data set, for a change that makes no sense, and for a folder that says of
        itself that it holds other classes.
        """
        dataset = TASKS.load(task).dataset
        if dataset is None:
            raise UserError(f"--data-root: task {task!r} has no reader for real data; leave the option out")
        dataset = dataset.at(root)
        preprocessing = changed(dataset.preprocessing, changes, task)
        find = partial(_find_with_subjects, dataset=dataset, subjects=subjects)
        super().__init__(root, task, "--data-root", find, preprocessing, preparation)
        self.split_counts = dataset.split_counts
        self.rule = LabelRule.of(dataset)
        self._split = split
        self._found_split = None if split or cross_validation else dataset.split_file(root)
        self._cross_validation = cross_validation
        self._fold = fold
        self._label_fraction = label_fraction

    def describe(self) -> DataSpec:
        """See `DataSource`."""
        counts = {split: len(self._identifiers(split)) for split in SPLITS}
        for split, count in counts.items():
            if not count:
                raise UserError(
                    f"task {self.name}: fold {self._fold} has no usable {split} case; correct them or the split"
                )
            if self.rule and not any(self.cases[name].has_class for name in self._identifiers(split)):
                self._say_without_class(split)
        self._check_volumes()
        return DataSpec(
            source="folder",
            fingerprint=self.fingerprint,
            recipe=self.preprocessing.model_dump(mode="json"),
            split=self._splits.digest(self._fold),
            fold=self._fold,
            counts=SplitCounts.model_validate(counts),
            label_fraction=self._label_fraction,
            channels=self.preprocessing.channel_count,
        )

    def _check_volumes(self) -> None:
        """Raise UserError for a part in which a class of volumes is missing, and for training targets all the same."""
        facts = TASKS.load(self.name).facts
        labels = {split: [self.cases[name].label or 0 for name in self._identifiers(split)] for split in SPLITS}
        option = f" --split {self._split}" if self._split else ""
        place = f"{self.place}{option}: fold {self._fold}"
        if facts.kind == "regression" and len(set(labels["train"])) == 1:
            raise UserError(f"{place}: every training case has the target {labels['train'][0]:g}: nothing to learn")
        if facts.kind in ("classification", "multi-class"):
            several = facts.kind == "multi-class"
            needed = "every part needs cases of " + ("every class" if several else "both classes")
            way_out = f"{needed}: add some, or give another split with --split"
            check_classes(place, labels, way_out, facts.classes if several else ())

    def load(self, *parts: str) -> dict[str, list[Case]]:
        """See `DataSource`."""
        splits = [split for split in SPLITS if not parts or split in parts]
        return {split: [self.cases[name].load() for name in self._identifiers(split)] for split in splits}

    def signatures(self) -> list[tuple[str, Signature]]:
        """See `DataSource`: of the validation and test cases."""
        watched = [name for split in SPLITS[1:] for name in self._identifiers(split)]
        return [(name, outline) for name in watched for outline in self.cases[name].signatures]

    @property
    def folds(self) -> int:
        """See `DataSource`."""
        return len(self._splits.folds)

    @property
    def cross_validation(self) -> CrossValidation | None:
        """See `DataSource`."""
        found = self._splits.cross_validation
        return found and found.model_copy(update={"dealt": bool(self._cross_validation)})

    def at_fold(self, fold: int) -> Self:
        """See `DataSource`; the cases are prepared and split once for all folds."""
        split_of(self._splits, fold, "test")
        other = copy(self)
        other._fold = fold
        return other

    def cross_validated(self, folds: int) -> Self:
        """The same cases, dealt into so many folds."""
        _ = self.prepared
        other = copy(self)
        other._cross_validation = folds
        return other

    @property
    def split_is_given(self) -> bool:
        """Whether a file or the data set says what is tested."""
        fixed = self._split or self._found_split or any(case.split == "test" for case in self.found.cases)
        return bool(fixed)

    @property
    def subjects(self) -> int:
        """How many have a usable case, as far as is known who was scanned."""
        return len({case.patient for case in self.found.cases if case.identifier in self.cases})

    def folds_for(self, most: int) -> int:
        """`most`, or as many as the rarest class of volumes has subjects: every fold tests every class."""
        of_class: dict[int, set[str]] = defaultdict(set)
        for case in self.found.cases:
            if case.identifier in self.cases and isinstance(case.label, int):
                of_class[case.label].add(case.patient)
        return min([most, *map(len, of_class.values())])

    @property
    def split_by(self) -> Literal["patient", "case"]:
        """See `DataSource`."""
        return split_by(self.found.cases)

    def patients(self) -> dict[str, str]:
        """See `DataSource`: of the validation and test cases."""
        watched = {name for split in SPLITS[1:] for name in self._identifiers(split)}
        cases = [case for case in self.found.cases if case.identifier in watched and case.patient_is_known]
        return {case.identifier: case.patient for case in cases}

    @cached_property
    def _splits(self) -> Splits:
        if path := self._split or self._found_split:
            splits = read_splits(path, self.name, self.found.cases, self.split_counts)
            if self._found_split:
                self._preparation.warn(f"task {self.name}: split as {path} says; --split FILE takes another")
            return splits
        refuse_torn_patients(self.found.cases)
        prepared = self.cases  # which says what is wrong where there is none
        usable = [case for case in self.found.cases if case.identifier in prepared]
        return make_splits(self.name, usable, self.split_counts, self._cross_validation or 1)

    def _identifiers(self, split: Split) -> list[str]:
        """The usable cases of one split; of the training cases those whose labels are used."""
        names = [name for name in split_of(self._splits, self._fold, split) if name in self.cases]
        if split != "train" or self._label_fraction == 1:
            return names
        return nested_subset(names, [_stratum(self.cases[name]) for name in names], self._label_fraction)

    def _say_without_class(self, split: Split) -> None:
        said = f"task {self.name}: fold {self._fold}: no {split} case holds a voxel of any class"
        if split == "train":
            raise UserError(f"{said}: nothing could be learnt; give another --split FILE")
        self._preparation.warn(f"{said}: only what is found where nothing is counts there; give another --split FILE")


def _stratum(case: PreparedCase) -> int:
    """The class of a volume; else whether a voxel is of a class, and one for all that have a number."""
    if isinstance(case.label, int):
        return case.label
    return 0 if isinstance(case.label, float) else int(case.has_class)


def _find_with_subjects(root: Path, dataset: Dataset, subjects: str) -> Found:
    return with_subjects(dataset.find(root), root, subjects)
