"""The data sources that options name, and those of a planned cell."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ssl_bench.api.registry import TASKS
from ssl_bench.data.folder_source import FolderCases, FolderCorpus, Preparation, Track, untracked
from ssl_bench.data.generated import GeneratedCases, GeneratedCorpus
from ssl_bench.data.leaks import same_scans
from ssl_bench.data.source import DataSource
from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.locations import Locations
from ssl_bench.spec.specification import CorpusSpec, DataSpec

if TYPE_CHECKING:
    from ssl_bench.api.settings import CohortSettings


class DataSources:
    """Opens what `locations` name, and the embedded data in place of what they leave out, each once."""

    def __init__(
        self,
        locations: Locations,
        cohort: CohortSettings,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        fold: int = 0,
        label_fraction: float = 1.0,
        track: Track = untracked,
        workers: int = 1,
    ) -> None:
        """`changes` are changed fields of the preprocessing, by the task's name or ``corpus``.

        Raises UserError for options that make no sense.
        """
        if not 0 < label_fraction <= 1:
            raise UserError(f"--label-fraction {label_fraction:g}: use a number above 0, at most 1")
        if fold and not locations.data_roots:
            raise UserError(f"--fold {fold}: the embedded cohort has one split; give --data-root")
        for name in changes or {}:
            if name != "corpus" and name not in TASKS.names():
                raise UserError(f"--set data.{name}: no such task; use corpus, {', '.join(TASKS.names())}")
        self.locations = locations
        self._cohort = cohort
        self._changes = changes or {}
        self._fold = fold
        self._label_fraction = label_fraction
        self._preparation = Preparation(locations.skip_problems, track, workers)
        self._tasks: dict[str, DataSource[DataSpec]] = {}
        self._leaks: dict[str, tuple[str, ...]] = {}

    @cached_property
    def corpus(self) -> DataSource[CorpusSpec]:
        """The unlabelled volumes of a pre-training."""
        return self.corpus_folder() or GeneratedCorpus(self._cohort.detail, self._cohort.corpus, self._cohort.held_out)

    def task(self, name: str) -> DataSource[DataSpec]:
        """The cases of a task. Raises UserError if it has none of the kind that is asked for."""
        if name not in self._tasks:
            counts = getattr(self._cohort, TASKS.load(name).facts.kind)
            own = self.locations.anatomy
            self._tasks[name] = self.task_folder(name) or GeneratedCases(
                name, own, self._cohort.detail, counts, self._label_fraction
            )
        return self._tasks[name]

    def corpus_folder(self) -> FolderCorpus | None:
        """The user's own corpus; None for the embedded one."""
        root = self.locations.corpus
        if root is None:
            return None
        return FolderCorpus(root, self._preparation, self._changes.get("corpus", {}), self._cohort.held_out)

    def task_folder(self, name: str) -> FolderCases | None:
        """The user's own cases for a task; None for the embedded cohort."""
        root, split = self.locations.data_roots.get(name), self.locations.split
        if root is None:
            return None
        changes = self._changes.get(name, {})
        return FolderCases(name, root, self._preparation, changes, split, self._fold, self._label_fraction)

    def leaks(self, task: str) -> tuple[str, ...]:
        """Validation and test cases of `task` that are in the corpus too. Raises UserError unless that is allowed."""
        if task not in self._leaks:
            self._leaks[task] = self._find_leaks(task)
        return self._leaks[task]

    def _find_leaks(self, task: str) -> tuple[str, ...]:
        pairs = same_scans(self.corpus.signatures(), self.task(task).signatures())
        if pairs and not self.locations.allow_overlap:
            scan, case = pairs[0]
            raise UserError(
                f"{scan}: the same scan as {case}, a validation or test case of {task} ({len(pairs)} such in all); "
                "take them out of the corpus, or give --allow-overlap, which every record and table will say"
            )
        return tuple(case for _, case in pairs)


def source_of(cell: Cell) -> DataSource[Any]:
    """The volumes that a planned cell works on: the corpus of a pre-training, the cases of an evaluation.

    Raises UserError if they are no longer what the cell was planned from.
    """
    source = _planned_cases(cell) if cell.kind == "evaluation" else _planned_corpus(cell)
    planned = cell.evaluation.data if cell.kind == "evaluation" else cell.pretraining_spec.corpus
    if source.describe() != planned:
        raise UserError(
            f"{source.place}: no longer holds what this cell was planned from; plan it again with ssl-bench run or "
            "matrix"
        )
    return source


def _planned_cases(cell: Cell) -> DataSource[Any]:
    task, planned, locations = cell.evaluation.task, cell.evaluation.data, cell.locations
    root, fraction = locations.data_roots.get(task), planned.label_fraction
    if root:
        preparation = Preparation(locations.skip_problems)
        return FolderCases(task, root, preparation, planned.recipe, locations.split, planned.fold or 0, fraction)
    return GeneratedCases(
        task, locations.anatomy, planned.detail, planned.counts, fraction, planned=planned.fingerprint
    )


def _planned_corpus(cell: Cell) -> DataSource[Any]:
    planned, root = cell.pretraining_spec.corpus, cell.locations.corpus
    assert planned is not None
    if root:
        return FolderCorpus(root, Preparation(cell.locations.skip_problems), planned.recipe, planned.held_out)
    return GeneratedCorpus(planned.detail, planned.volumes, planned.held_out, planned=planned.fingerprint)
