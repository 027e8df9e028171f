"""The data sources that options name, and those of a planned cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ssl_bench.api.kinds import sized_as
from ssl_bench.api.registry import TASKS
from ssl_bench.data.folder_cases import FolderCases
from ssl_bench.data.folder_corpus import FolderCorpus
from ssl_bench.data.folder_source import FolderSource, Preparation, Track, unheard, untracked
from ssl_bench.data.generated import UNPLANNED, GeneratedCases, generated_corpus
from ssl_bench.data.headers import shapes_by_headers
from ssl_bench.data.layouts.own_tasks import register_own
from ssl_bench.data.leaks import same_scans
from ssl_bench.data.sizing import Shape, median_shape, spacing_for, window_for
from ssl_bench.data.source import DataSource, Spec
from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.locations import Locations
from ssl_bench.spec.specification import CorpusSpec, DataSpec

if TYPE_CHECKING:
    from ssl_bench.api.settings import CohortSettings, Sizing


FEWEST_FOLDS = 3
"""One to test, one to validate, one to train."""
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
        sizing: Sizing | None = None,
        say: Callable[[str], None] = unheard,
    ) -> None:
        """`changes` are changed fields of the preprocessing, by the task's name or ``corpus``; `warn` gets lines.

        With `sizing` real data decide what the user does not state, and `say` gets a line of what they decide.

        Raises UserError for options that make no sense.
        """
        if not 0 < label_fraction <= 1:
            raise UserError(f"--label-fraction {label_fraction:g}: use a number above 0, at most 1")
        for option, asked in (("fold", fold), ("cross-validation", locations.cross_validation)):
            if asked and not locations.data_roots:
                raise UserError(f"--{option} {asked}: the embedded cohort has one split; give --data-root")
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
        self._preparation = Preparation(locations.skip_problems, track, workers, locations.store, warn)
        self._sizing = sizing
        self._say = say
        self._tasks: dict[str, DataSource[DataSpec]] = {}
        self._dealt: dict[str, int] = {}

    @cached_property
    def corpus(self) -> DataSource[CorpusSpec]:
        """The unlabelled volumes of a pre-training."""
        cohort = self._cohort
        wanted = CorpusSpec(
            fingerprint=UNPLANNED, detail=cohort.detail, volumes=cohort.corpus, held_out=cohort.held_out
        )

        def opened(changes: Mapping[str, Any]) -> DataSource[CorpusSpec]:
            return _corpus(self.locations, wanted, changes, self._preparation)

        return self._sized("corpus", opened)

    def task(self, name: str, fold: int | None = None) -> DataSource[DataSpec]:
        """The cases of a task, in the fold that was asked for at first, or in another one.

        Raises UserError if it has none of the kind that is asked for, or not that fold.
        """
        if name not in self._tasks:
            self._tasks[name] = self._open(name)
        return self._tasks[name] if fold is None else self._tasks[name].at_fold(fold)

    def locations_of(self, task: str) -> Locations:
        """The locations from which a cell of `task` opens the same cases."""
        self.task(task)
        return self.locations.model_copy(update={"cross_validation": self._dealt[task]})

    def folds_to_run(self, task: str) -> list[int]:
        """Every fold where they were asked for, or dealt because the data set is small; else the one asked for."""
        source = self.task(task)
        return list(range(source.folds)) if self._dealt[task] else [self._fold]

    def window(self, name: str, most: int) -> int:
        """The side of the windows for a task, or for ``corpus``: `most`, unless that is sized by the data."""
        source = self.corpus if name == "corpus" else self.task(name)
        if self._sizing is None or not isinstance(source, FolderSource):
            return most
        median = median_shape(source.shapes)
        side, spacing = window_for(median, most), source.preprocessing.spacing_mm
        self._say(f"{source.place}: windows of {side} voxels a side, for cases of {_said(median, spacing)}")
        return side

    def leaks(self, task: str, fold: int | None = None) -> tuple[str, ...]:
        """Validation and test cases of `task` of which the corpus holds the scan, or another of the same patient.

        Raises UserError unless that is allowed.
        """
        # Of several channels two may be the same scan.
        cases = self.task(task, fold)
        pairs = [*dict.fromkeys(same_scans(self.corpus.signatures(), cases.signatures()))]
        of_patients = self._scans_of_patients(task, cases)
        if (pairs or of_patients) and not self.locations.allow_overlap:
            found = pairs or of_patients
            scan, case = found[0]
            same, apart = ("the same scan as", "") if pairs else ("of the same patient as", CALL_APART)
            raise UserError(
                f"{scan}: {same} {case}, a validation or test case of {task} ({len(found)} such in all); "
                f"take them out of the corpus, {apart}or give --allow-overlap, which every record and table will say"
            )
        return tuple(dict.fromkeys(case for _, case in [*pairs, *of_patients]))

    def _open(self, name: str) -> DataSource[DataSpec]:
        """The cases of a task in the fold of the options, sized by themselves where nothing else does it."""
        in_folder = name in self.locations.data_roots
        wanted = DataSpec(
            source="embedded",
            fingerprint=UNPLANNED,
            detail=self._cohort.detail,
            fold=self._fold if in_folder else None,
            counts=getattr(self._cohort, sized_as(TASKS.load(name).facts.kind)),
            label_fraction=self._label_fraction,
        )

        def opened(changes: Mapping[str, Any]) -> DataSource[DataSpec]:
            return _cases(name, self.locations, wanted, changes, self._preparation)

        source = self._sized(name, opened)
        self._dealt[name] = self.locations.cross_validation if in_folder else 0
        sizing = self._sizing
        if sizing is None or self._dealt[name] or not isinstance(source, FolderCases) or source.split_is_given:
            return source
        folds = source.folds_for(sizing.folds)
        if source.subjects < sizing.folds_below and folds >= FEWEST_FOLDS:
            self._dealt[name] = folds
            rarest = f", of whom the rarest class has {folds}" if folds < sizing.folds else ""
            self._say(f"{source.place}: {folds} folds in place of one split, for {source.subjects} subjects{rarest}")
            return source.cross_validated(folds)
        return source

    def _sized(self, name: str, opened: Callable[[Mapping[str, Any]], DataSource[Spec]]) -> DataSource[Spec]:
        """What `opened` gives under the changes to the preprocessing, at a spacing for its size if none is stated."""
        changes = self._changes.get(name, {})
        source = opened(changes)
        if self._sizing is None or "spacing_mm" in changes or not isinstance(source, FolderSource):
            return source
        spacing = source.preprocessing.spacing_mm
        if spacing is None:
            return source
        # Headers say it of most sets, which are then prepared once, at the spacing that is found.
        median = median_shape(shapes_by_headers(source.found.cases, source.preprocessing) or source.shapes)
        found = spacing_for(median, spacing, self._sizing)
        self._say(
            f"{source.place}: {found:g} mm, for cases of {_said(median, spacing)} (--set data.{name}.spacing_mm=...)"
        )
        return source if found == spacing else opened({**changes, "spacing_mm": found})

    def _scans_of_patients(self, task: str, source: DataSource[DataSpec]) -> list[tuple[str, str]]:
        """Scans of the corpus, by file, each with a validation or test case of `source` that is of the same patient."""
        cases: dict[str, list[str]] = {}
        for case, patient in source.patients().items():
            cases.setdefault(patient, []).append(case)
        if not cases:
            return []
        found = self.corpus.scans_of(cases.keys(), self.locations.data_roots[task], self.locations.subjects)
        return [(scan, case) for scan, patient in found for case in cases[patient]]


def _said(median: Shape, spacing_mm: float | None) -> str:
    """The median case of a folder in words."""
    return f"{'x'.join(map(str, median))} voxels" + (f" at {spacing_mm:g} mm" if spacing_mm else "")


def source_of(cell: Cell) -> DataSource[Any]:
    """The volumes that a planned cell works on: the corpus of a pre-training, the cases of an evaluation.

    Raises UserError if they are no longer what the cell was planned from.
    """
    preparation = Preparation(cell.locations.skip_problems, store=cell.locations.store)
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
            task,
            root,
            preparation,
            changes,
            locations.split,
            fold,
            fraction,
            subjects=locations.subjects,
            cross_validation=locations.cross_validation,
        )
    return GeneratedCases(task, locations.anatomy, wanted)


def _corpus(
    locations: Locations, wanted: CorpusSpec, changes: Mapping[str, Any], preparation: Preparation
) -> DataSource[CorpusSpec]:
    if locations.corpus:
        return FolderCorpus(locations.corpus, preparation, changes, wanted.held_out, locations.take_labels)
    return generated_corpus(wanted)
