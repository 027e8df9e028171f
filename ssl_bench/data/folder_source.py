"""Volumes that are read from a folder of the user's: prepared, split, and named by what their files hold."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Self

from ssl_bench.api.cases import SPLITS, Case, Found, Problem, Split
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.registry import TASKS
from ssl_bench.api.settings import SplitCounts, validated
from ssl_bench.data.doubts import doubt_lines, named
from ssl_bench.data.layouts.channel_names import intensities_of
from ssl_bench.data.layouts.corpus_folder import CORPUS_PREPROCESSING, find_corpus
from ssl_bench.data.layouts.label_names import label_maps_among
from ssl_bench.data.preprocessing.case_folder import PreparedCase
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.data.preprocessing.signature import Signature
from ssl_bench.data.sizing import Shape
from ssl_bench.data.source import DataSource, Spec, check_classes
from ssl_bench.data.split_files import read_splits
from ssl_bench.data.splits import (
    Splits,
    in_random_order,
    make_splits,
    nested_subset,
    refuse_torn_patients,
    split_by,
    split_of,
)
from ssl_bench.data.subjects import scans_of, with_subjects
from ssl_bench.errors import UserError
from ssl_bench.spec.folds import CrossValidation
from ssl_bench.spec.locations import ImageStore
from ssl_bench.spec.specification import CorpusSpec, DataSpec

Track = Callable[[str, int], AbstractContextManager[Callable[[str], None]]]
"""A progress bar: a title and a number of steps in, a context whose value advances by one step out."""


def untracked(title: str, steps: int) -> AbstractContextManager[Callable[[str], None]]:
    """No progress bar."""
    return nullcontext(lambda words: None)


def unheard(line: str) -> None:
    """No warnings."""


@dataclass(frozen=True)
class Preparation:
    """How cases are prepared; no choice here changes what a case becomes."""

    skip_problems: bool = False
    """Leave out the cases that cannot be used, instead of stopping."""
    track: Track = untracked
    workers: int = 1
    store: ImageStore | None = None
    """How images lie on disk; None for as they are, new ones plain."""
    warn: Callable[[str], None] = unheard
    """Gets a line for each kind of doubt about the cases, and others that are to be said."""


class FolderSource(DataSource[Spec]):
    """The scans below a folder."""

    rule: LabelRule | None = None
    """How label files are read; None where there are none."""

    def __init__(
        self,
        root: Path,
        name: str,
        option: str,
        find: Callable[[Path], Found],
        preprocessing: Preprocessing,
        preparation: Preparation,
    ) -> None:
        """`name` is the task's, or ``corpus``; `option` chose `root`."""
        self.root = root
        self.name = name
        self.place = f"{option} {root}"
        self.preprocessing = preprocessing
        self._find = find
        self._preparation = preparation

    @cached_property
    def found(self) -> Found:
        """What the folder holds, without reading a voxel. Raises UserError if there is no such folder."""
        return self._find(self.root)

    @cached_property
    def prepared(self) -> tuple[dict[str, PreparedCase], list[Problem]]:
        """The cases that can be used, by identifier, and what is left out. Raises UserError unless that is allowed."""
        found: Found = self.found
        preparation = self._preparation
        prepared: list[PreparedCase]
        bad: list[Problem]
        with preparation.track(f"preparing {self.root.name}", len(found.cases)) as advance:
            prepared, bad = prepare(
                found.cases,
                self.preprocessing,
                self.rule,
                preparation.workers,
                advance,
                preparation.store,
                lambda line: preparation.warn(f"{self.place}: {line}"),
            )
        label_maps, problems = label_maps_among(found, bad, self.root)
        if problems and (not prepared or not preparation.skip_problems):
            raise UserError(named(_summary(problems), self.name))
        left_out = f"{len(label_maps)} of its files are label maps, not scans" if label_maps else ""
        if not prepared:
            no_scan = f": {left_out}; --take-labels takes them all the same" if label_maps else ""
            raise UserError(f"{self.place}: holds no usable case{no_scan}")
        if label_maps:
            preparation.warn(
                f"{self.place}: {left_out}, and are left out (the first: {label_maps[0].path}); ssl-bench data check "
                "lists them with why, --take-labels takes them as scans"
            )
        for line in doubt_lines(self.name, {case.identifier: case.doubts for case in prepared}):
            preparation.warn(f"{self.place}: {line}")
        return {case.identifier: case for case in prepared}, problems

    @property
    def cases(self) -> dict[str, PreparedCase]:
        """Those that can be used, by identifier, in order."""
        return self.prepared[0]

    @property
    def left_out(self) -> tuple[str, ...]:
        """See `DataSource`."""
        return tuple(f"{problem.path.name}: {problem.reason}" for problem in self.prepared[1])

    @property
    def shapes(self) -> list[Shape]:
        """Those of the prepared cases (D, H, W)."""
        return [case.shape for case in self.cases.values()]

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what the files hold and how it is read, wherever they lie and in whatever order."""
        digests = sorted((case.identifier, case.digest) for case in self.cases.values())
        return hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]


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


class FolderCorpus(FolderSource[CorpusSpec]):
    """The unlabelled scans of a folder, or those that a CSV lists."""

    def __init__(
        self,
        root: Path,
        preparation: Preparation,
        changes: Mapping[str, Any],
        held_out: int,
        take_labels: bool = False,
    ) -> None:
        """At most a tenth of the scans, and no more than `held_out`, is held out to watch the pretext loss.

        With `take_labels` files that hold label maps are scans like the others.
        """
        preprocessing = changed(CORPUS_PREPROCESSING, _with_recipes(changes), "corpus")
        find = partial(find_corpus, take_labels=take_labels, channels=preprocessing.channels)
        super().__init__(root, "corpus", "--corpus", find, preprocessing, preparation)
        self._most_held_out = held_out

    def describe(self) -> CorpusSpec:
        """See `DataSource`."""
        return CorpusSpec(
            source="folder",
            fingerprint=self.fingerprint,
            recipe=self.preprocessing.model_dump(mode="json"),
            volumes=len(self.cases) - len(self._held_out),
            held_out=len(self._held_out),
            channels=self.preprocessing.channel_count,
        )

    def load(self, *parts: str) -> dict[str, list[Case]]:
        """See `DataSource`."""
        return {
            part: [scan.load() for name, scan in self.cases.items() if (name in self._held_out) == (part == "held-out")]
            for part in parts or ("corpus", "held-out")
        }

    def signatures(self) -> list[tuple[str, Signature]]:
        """See `DataSource`: of all scans, by file."""
        files = {case.identifier: str(case.image) for case in self.found.cases}
        return [(files[name], outline) for name, scan in self.cases.items() for outline in scan.signatures]

    def scans_of(self, patients: Collection[str], root: Path, subjects: str) -> list[tuple[str, str]]:
        """See `DataSource`."""
        own = self.root if self.root.is_dir() else self.root.parent
        beside = own.is_relative_to(root) or root.is_relative_to(own)
        usable = [case for case in self.found.cases if case.identifier in self.cases]
        return [(str(scan.image), patient) for scan, patient in scans_of(patients, usable, own, beside, subjects)]

    @cached_property
    def _held_out(self) -> set[str]:
        count = min(self._most_held_out, len(self.cases) // 10)
        return set(in_random_order("held-out", self.cases)[:count])


def _stratum(case: PreparedCase) -> int:
    """The class of a volume; else whether a voxel is of a class, and one for all that have a number."""
    if isinstance(case.label, int):
        return case.label
    return 0 if isinstance(case.label, float) else int(case.has_class)


def _find_with_subjects(root: Path, dataset: Dataset, subjects: str) -> Found:
    return with_subjects(dataset.find(root), root, subjects)


def _with_recipes(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """`changes` with the recipes that the names of declared channels say, where recipes are not declared too."""
    channels = changes.get("channels")
    if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels) or len(channels) < 2:
        return changes
    return {"intensity": intensities_of(channels)} | dict(changes)


def changed(preprocessing: Preprocessing, changes: Mapping[str, Any], name: str) -> Preprocessing:
    """`preprocessing` with the user's changes. Raises UserError for one that makes no sense."""
    return validated(Preprocessing, preprocessing.model_dump() | dict(changes), f"data.{name}")


def _summary(problems: Sequence[Problem]) -> str:
    first = problems[0]
    others = f" (and {len(problems) - 1} more; ssl-bench data check lists them)" if len(problems) > 1 else ""
    return f"{first.path}: {first.reason}; or leave such cases out with --skip-problems{others}"
