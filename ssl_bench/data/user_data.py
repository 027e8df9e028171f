"""What the user brings: a corpus and data sets in folders, prepared, split, and guarded against leaks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ssl_bench.api.cases import Found, Problem
from ssl_bench.api.recipe import Recipe
from ssl_bench.api.registry import TASKS
from ssl_bench.api.settings import SplitCounts, validated
from ssl_bench.api.task import SPLITS, Case, Split
from ssl_bench.data.layouts.corpus_folder import CORPUS_RECIPE, find_corpus
from ssl_bench.data.leaks import overlapping
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.prepared import Prepared, load, prepare
from ssl_bench.data.splits import Splits, make_splits, nested_subset, read_splits, split_of
from ssl_bench.errors import UserError
from ssl_bench.spec.locations import Sources
from ssl_bench.spec.specification import CorpusSpec, DataSpec

Track = Callable[[str, int], AbstractContextManager[Callable[[str], None]]]
"""A progress bar: a title and a number of steps in, a context whose value advances by one step out."""


def untracked(title: str, steps: int) -> AbstractContextManager[Callable[[str], None]]:
    """No progress bar."""
    return nullcontext(lambda words: None)


@dataclass(frozen=True)
class CorpusFolder:
    """The prepared scans of a pre-training corpus."""

    scans: tuple[Prepared, ...]
    recipe: Recipe

    def load(self, count: int) -> list[Case]:
        """The first scans, memory-mapped; without labels."""
        return [load(scan) for scan in self.scans[:count]]

    def spec(self, held_out: int) -> CorpusSpec:
        """What identifies it. At most a tenth of the scans is held out to watch the pretext loss."""
        held_out = min(held_out, len(self.scans) // 10)
        return CorpusSpec(
            source="folder",
            fingerprint=_fingerprint(self.scans),
            recipe=self.recipe.model_dump(mode="json"),
            volumes=len(self.scans) - held_out,
            held_out=held_out,
        )


@dataclass(frozen=True)
class TaskFolder:
    """The prepared cases of a task's data set."""

    task: str
    cases: Mapping[str, Prepared]
    recipe: Recipe
    splits: Splits
    left_out: tuple[str, ...]
    """What could not be used, by file, with the reason."""

    def identifiers(self, split: Split, fold: int, label_fraction: float = 1.0) -> list[str]:
        """The cases of one split; of the training cases those whose labels are used."""
        found = [name for name in split_of(self.splits, fold, split) if name in self.cases]
        if split != "train" or label_fraction == 1:
            return found
        labels = [self.cases[name].case.label for name in found]
        return nested_subset(found, [label if isinstance(label, int) else 0 for label in labels], label_fraction)

    def spec(self, fold: int, label_fraction: float) -> DataSpec:
        """What identifies the cases of one fold."""
        counts = {split: len(self.identifiers(split, fold, label_fraction)) for split in SPLITS}
        for split, count in counts.items():
            if not count:
                raise UserError(f"task {self.task}: fold {fold} has no usable {split} case; correct them or the split")
        return DataSpec(
            source="folder",
            fingerprint=_fingerprint(self.cases.values()),
            recipe=self.recipe.model_dump(mode="json"),
            split=self.splits.digest(fold),
            fold=fold,
            counts=SplitCounts.model_validate(counts),
            label_fraction=label_fraction,
        )


class UserData:
    """Opens the folders that `sources` names, each once."""

    def __init__(
        self,
        sources: Sources,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        fold: int = 0,
        label_fraction: float = 1.0,
        track: Track = untracked,
        workers: int = 1,
    ) -> None:
        """`changes` are changed fields of recipes, by the task's name or ``corpus``."""
        if not 0 < label_fraction <= 1:
            raise UserError(f"--label-fraction {label_fraction:g}: use a number above 0, at most 1")
        if fold and not sources.data_roots:
            raise UserError(f"--fold {fold}: the embedded cohort has one split; give --data-root")
        for name in changes or {}:
            if name != "corpus" and name not in TASKS.names():
                raise UserError(f"--set data.{name}: no such task; use corpus, {', '.join(TASKS.names())}")
        self.sources = sources
        self.changes = changes or {}
        self.fold = fold
        self.label_fraction = label_fraction
        self.track = track
        self.workers = workers
        self._tasks: dict[str, TaskFolder] = {}
        self._overlaps: dict[str, tuple[str, ...]] = {}

    @cached_property
    def corpus(self) -> CorpusFolder | None:
        """The user's corpus; None for the embedded one. Raises UserError for what cannot be used."""
        if self.sources.corpus is None:
            return None
        recipe, found = self.find_corpus()
        scans, _ = self._prepare(found, recipe, None, self.sources.corpus, "--corpus")
        return CorpusFolder(tuple(scans), recipe)

    def find_corpus(self) -> tuple[Recipe, Found]:
        """The corpus' preprocessing with the user's changes, and what its folder holds."""
        root = self.sources.corpus
        assert root is not None
        recipe = _changed(CORPUS_RECIPE, self.changes.get("corpus", {}), "corpus")
        return recipe, find_corpus(root) if root.is_dir() else find_corpus(root.parent, root)

    def task(self, name: str) -> TaskFolder | None:
        """The user's cases for a task; None for the embedded ones. Raises UserError for what cannot be used."""
        root = self.sources.data_roots.get(name)
        if root is not None and name not in self._tasks:
            self._tasks[name] = self._open(name, root)
        return self._tasks.get(name)

    def overlap(self, task: str) -> tuple[str, ...]:
        """Scans of the corpus that are validation or test cases of `task`. Raises UserError unless that is allowed."""
        if task not in self._overlaps:
            self._overlaps[task] = self._overlap(task)
        return self._overlaps[task]

    def _overlap(self, task: str) -> tuple[str, ...]:
        corpus, folder = self.corpus, self.task(task)
        if corpus is None or folder is None:
            return ()
        watched = [name for split in ("validation", "test") for name in split_of(folder.splits, self.fold, split)]
        pairs = overlapping(
            [(str(scan.case.image), scan.signature) for scan in corpus.scans],
            [(name, folder.cases[name].signature) for name in watched if name in folder.cases],
        )
        if pairs and not self.sources.allow_overlap:
            scan, case = pairs[0]
            raise UserError(
                f"{scan}: the same scan as {case}, a validation or test case of {task} ({len(pairs)} such in all); "
                "take them out of the corpus, or give --allow-overlap, which every record and table will say"
            )
        return tuple(case for _, case in pairs)

    def _open(self, name: str, root: Path) -> TaskFolder:
        task, recipe = TASKS.load(name), self.recipe(name)
        found = task().find(root)
        prepared, problems = self._prepare(found, recipe, LabelRule.of(task), root, "--data-root")
        cases = {each.case.identifier: each for each in prepared}
        if self.sources.split:
            splits = read_splits(self.sources.split, found.cases)
        else:
            assert task.split_counts is not None
            splits = make_splits(name, [each.case for each in prepared], task.split_counts)
        left_out = tuple(f"{problem.path.name}: {problem.reason}" for problem in problems)
        return TaskFolder(name, cases, recipe, splits, left_out)

    def recipe(self, task: str) -> Recipe:
        """The task's preprocessing with the user's changes. Raises UserError for a task without real data."""
        default = TASKS.load(task).recipe
        if default is None:
            raise UserError(f"--data-root: task {task!r} has no reader for real data; leave the option out")
        return _changed(default, self.changes.get(task, {}), task)

    def _prepare(
        self, found: Found, recipe: Recipe, rule: LabelRule | None, root: Path, option: str
    ) -> tuple[Sequence[Prepared], Sequence[Problem]]:
        with self.track(f"preparing {root.name}", len(found.cases)) as advance:
            prepared, bad = prepare(found.cases, recipe, rule, self.workers, advance)
        problems = [*found.problems, *bad]
        if problems and not self.sources.skip_problems:
            raise UserError(_summary(problems))
        if not prepared:
            raise UserError(_summary(problems) if problems else f"{option} {root}: holds no usable case")
        return prepared, problems


def _summary(problems: Sequence[Problem]) -> str:
    first = problems[0]
    others = f" (and {len(problems) - 1} more; ssl-bench data check lists them)" if len(problems) > 1 else ""
    return f"{first.path}: {first.reason}; or leave such cases out with --skip-problems{others}"


def _changed(recipe: Recipe, changes: Mapping[str, Any], name: str) -> Recipe:
    return validated(Recipe, recipe.model_dump() | dict(changes), f"data.{name}")


def _fingerprint(cases: Sequence[Prepared] | Any) -> str:
    """Of what the files hold and how it is read; where they lie and in which order they were found does not matter."""
    digests = sorted((each.case.identifier, each.digest) for each in cases)
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]
