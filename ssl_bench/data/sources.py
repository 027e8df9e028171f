"""The data sources that options name, and those of a planned cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ssl_bench.api.kinds import sized_as
from ssl_bench.api.registry import TASKS
from ssl_bench.data.folder_source import FolderCases, FolderCorpus, Preparation, Track, unheard, untracked
from ssl_bench.data.generated import UNPLANNED, GeneratedCases, generated_corpus
from ssl_bench.data.layouts.own_tasks import register_own
from ssl_bench.data.leaks import same_scans
from ssl_bench.data.source import DataSource
from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.locations import Locations
from ssl_bench.spec.specification import CorpusSpec, DataSpec

if TYPE_CHECKING:
    from ssl_bench.api.settings import CohortSettings


CALL_APART = "or call the patients apart by --subjects CSV if they are two, "


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
        warn: Callable[[str], None] = unheard,
    ) -> None:
        """`changes` are changed fields of the preprocessing, by the task's name or ``corpus``; `warn` gets lines.

        Raises UserError for options that make no sense.
        """
        if not 0 < label_fraction <= 1:
            raise UserError(f"--label-fraction {label_fraction:g}: use a number above 0, at most 1")
        if fold and not locations.data_roots:
            raise UserError(f"--fold {fold}: the embedded cohort has one split; give --data-root")
        for name in changes or {}:
            if name != "corpus" and name not in TASKS.names():
                raise UserError(f"--set data.{name}: no such task; use corpus, {', '.join(TASKS.names())}")
        if declared := {name: str(fields["kind"]) for name, fields in (changes or {}).items() if "kind" in fields}:
            register_own(locations, declared)
        self.locations = locations
        self.warn = warn
        self._cohort = cohort
        self._changes = changes or {}
        self._fold = fold
        self._label_fraction = label_fraction
        self._preparation = Preparation(locations.skip_problems, track, workers, warn)
        self._tasks: dict[str, DataSource[DataSpec]] = {}

    @cached_property
    def corpus(self) -> DataSource[CorpusSpec]:
        """The unlabelled volumes of a pre-training."""
        cohort = self._cohort
        wanted = CorpusSpec(
            fingerprint=UNPLANNED, detail=cohort.detail, volumes=cohort.corpus, held_out=cohort.held_out
        )
        return _corpus(self.locations, wanted, self._changes.get("corpus", {}), self._preparation)

    def task(self, name: str) -> DataSource[DataSpec]:
        """The cases of a task. Raises UserError if it has none of the kind that is asked for."""
        if name not in self._tasks:
            wanted = DataSpec(
                source="embedded",
                fingerprint=UNPLANNED,
                detail=self._cohort.detail,
                fold=self._fold if name in self.locations.data_roots else None,
                counts=getattr(self._cohort, sized_as(TASKS.load(name).facts.kind)),
                label_fraction=self._label_fraction,
            )
            self._tasks[name] = _cases(name, self.locations, wanted, self._changes.get(name, {}), self._preparation)
        return self._tasks[name]

    def leaks(self, task: str) -> tuple[str, ...]:
        """Validation and test cases of `task` of which the corpus holds the scan, or another of the same patient.

        Raises UserError unless that is allowed.
        """
        # Of several channels two may be the same scan.
        pairs = [*dict.fromkeys(same_scans(self.corpus.signatures(), self.task(task).signatures()))]
        of_patients = self._scans_of_patients(task)
        if (pairs or of_patients) and not self.locations.allow_overlap:
            found = pairs or of_patients
            scan, case = found[0]
            same, apart = ("the same scan as", "") if pairs else ("of the same patient as", CALL_APART)
            raise UserError(
                f"{scan}: {same} {case}, a validation or test case of {task} ({len(found)} such in all); "
                f"take them out of the corpus, {apart}or give --allow-overlap, which every record and table will say"
            )
        return tuple(dict.fromkeys(case for _, case in [*pairs, *of_patients]))

    def _scans_of_patients(self, task: str) -> list[tuple[str, str]]:
        """Scans of the corpus, by file, each with a validation or test case of `task` that is of the same patient."""
        cases: dict[str, list[str]] = {}
        for case, patient in self.task(task).patients().items():
            cases.setdefault(patient, []).append(case)
        if not cases:
            return []
        found = self.corpus.scans_of(cases.keys(), self.locations.data_roots[task], self.locations.subjects)
        return [(scan, case) for scan, patient in found for case in cases[patient]]


def source_of(cell: Cell) -> DataSource[Any]:
    """The volumes that a planned cell works on: the corpus of a pre-training, the cases of an evaluation.

    Raises UserError if they are no longer what the cell was planned from.
    """
    preparation = Preparation(cell.locations.skip_problems)
    source: DataSource[Any]
    planned = cell.evaluation.data if cell.kind == "evaluation" else cell.pretraining_spec.corpus
    assert planned is not None
    if isinstance(planned, DataSpec):
        source = _cases(cell.evaluation.task, cell.locations, planned, planned.recipe, preparation)
    else:
        source = _corpus(cell.locations, planned, planned.recipe, preparation)
    if source.describe() != planned:
        raise UserError(
            f"{source.place}: no longer holds what this cell was planned from; plan it again with ssl-bench run or "
            "matrix"
        )
    return source


def _cases(
    task: str, locations: Locations, wanted: DataSpec, changes: Mapping[str, Any], preparation: Preparation
) -> DataSource[DataSpec]:
    if root := locations.data_roots.get(task):
        fold, fraction = wanted.fold or 0, wanted.label_fraction
        return FolderCases(
            task, root, preparation, changes, locations.split, fold, fraction, subjects=locations.subjects
        )
    return GeneratedCases(task, locations.anatomy, wanted)


def _corpus(
    locations: Locations, wanted: CorpusSpec, changes: Mapping[str, Any], preparation: Preparation
) -> DataSource[CorpusSpec]:
    if locations.corpus:
        return FolderCorpus(locations.corpus, preparation, changes, wanted.held_out, locations.take_labels)
    return generated_corpus(wanted)
