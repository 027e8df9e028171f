"""The planner, asked again: what a record's preset and overrides make here, on the data that it names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, cast, get_args

from ssl_bench.api.kinds import sized_as
from ssl_bench.api.registry import TASKS
from ssl_bench.api.settings import Preset, load_preset
from ssl_bench.data.source import DataSource, Spec
from ssl_bench.data.sources import DataSources
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.planning.reproduction import UNKNOWN, cell_of
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.locations import Locations
from ssl_bench.spec.record import AnyRecord
from ssl_bench.spec.specification import CellSpec, CorpusSpec, DataSpec, ExternalBackbone
from ssl_bench.training.runtime import Precision


def replanned(record: AnyRecord) -> Cell | None:
    """The cell that the setting of `record` makes here; None where it makes none of that digest.

    Options that were tuned are taken as the record says them. Raises UserError where the planner refuses the cell.
    """
    setting = record.setting
    preset = load_preset(setting.preset, setting.overrides)
    if setting.tuned_on:
        backbone = cell_of(record).backbone
        preset = preset.model_copy(update={"methods": preset.methods | {backbone.method: dict(backbone.options)}})
    for precision in get_args(Precision):
        planner = _planner(record, preset, precision)
        if planner.setting.digest == setting.digest:
            return _planned(record, planner)
    return None


def differences(recorded: CellSpec, planned: CellSpec) -> list[str]:
    """Where the specifications differ, each as ``FIELD is A instead of B``."""
    return list(_different(recorded.model_dump(mode="json"), planned.model_dump(mode="json"), ""))


def _planner(record: AnyRecord, preset: Preset, precision: Precision) -> Planner:
    backbone = cell_of(record).backbone
    start = (UNKNOWN, backbone.init) if backbone.init else None
    stem = record.spec.stem if record.kind == "evaluation" else ""
    return Planner(preset, record.setting.overrides, precision, AsRecorded(record, preset), stem, start)


def _planned(record: AnyRecord, planner: Planner) -> Cell:
    if record.kind == "pretraining":
        return planner.pretraining(record.spec.method, record.spec.seed)
    spec, backbone = record.spec, record.spec.backbone
    # Of a task that a folder defined elsewhere the planner knows nothing, and asks for nothing but its data.
    task = spec.task if spec.task in TASKS.names() else TASKS.names()[0]
    if backbone.is_external:
        external = cast(ExternalBackbone, backbone)
        cell = planner.external(UNKNOWN, external, task, spec.protocol, spec.seed, spec.reset)
    else:
        cell = planner.evaluation(spec.method, task, spec.protocol, spec.seed, spec.reset, spec.scored_on)
    as_asked = {"task": spec.task, "snapshot": spec.snapshot, "shifts": spec.shifts}
    return cell.model_copy(update={"spec": cell.evaluation.model_copy(update=as_asked)})


class AsRecorded(DataSources):
    """The data that a record names, of which nothing is at hand: how many embedded volumes, the preset says."""

    def __init__(self, record: AnyRecord, preset: Preset) -> None:
        super().__init__(Locations(), preset.cohort)
        self._record = record
        self._preset = preset

    @cached_property
    def corpus(self) -> DataSource[CorpusSpec]:
        """See `DataSources`."""
        corpus, cohort = cell_of(self._record).backbone.corpus, self._preset.cohort
        if corpus is None:
            raise UserError("names no corpus, and its method pre-trains on one")
        if corpus.is_real:
            return _Described(corpus)
        sized = {"detail": cohort.detail, "volumes": cohort.corpus, "held_out": cohort.held_out}
        return _Described(corpus.model_copy(update=sized))

    def task(self, name: str, fold: int | None = None) -> DataSource[DataSpec]:
        """See `DataSources`."""
        data, cohort = cell_of(self._record).evaluation.data, self._preset.cohort
        if data.is_real:
            return _Described(data)
        counts = getattr(cohort, sized_as(TASKS.load(name).facts.kind))
        return _Described(data.model_copy(update={"detail": cohort.detail, "counts": counts}))

    def window(self, name: str, most: int) -> int:
        """See `DataSources`: where real data decide it, as recorded."""
        cell = cell_of(self._record)
        volumes, crop = (cell.backbone.corpus, getattr(cell.backbone, "crop", most)) if name == "corpus" else (
            cell.spec.data, cell.evaluation.crop)  # fmt: skip
        return crop if self._preset.sizing and volumes is not None and volumes.is_real else most

    def locations_of(self, task: str) -> Locations:
        """See `DataSources`."""
        return self.locations

    def leaks(self, task: str, fold: int | None = None) -> tuple[str, ...]:
        """See `DataSources`: nothing is at hand to be compared."""
        return ()


class _Described(DataSource[Spec]):
    """What a specification says of volumes that are not at hand."""

    place = "the record"

    def __init__(self, spec: Spec) -> None:
        self._spec: Spec = spec

    def describe(self) -> Spec:
        """See `DataSource`."""
        return self._spec

    def load(self, *parts: str) -> Any:
        """See `DataSource`. Raises UserError."""
        raise UserError("the volumes of a record that came from elsewhere are not at hand")


def _different(recorded: Any, planned: Any, place: str) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(planned, dict):
        for name in dict.fromkeys([*recorded, *planned]):
            yield from _different(recorded.get(name), planned.get(name), f"{place}.{name}" if place else name)
    elif recorded != planned:
        yield f"{place} is {recorded} instead of {planned}"
