"""Measurements: a frozen backbone or a control, and a task in; the scores of test cases, or of their pairs, out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ssl_bench.api.cases import SPLITS
from ssl_bench.api.kinds import of_voxels
from ssl_bench.api.measurement import Measured, Measurement, Rows
from ssl_bench.api.metric import METRICS
from ssl_bench.api.registry import PROTOCOLS, TASKS
from ssl_bench.data.source import cases_digest
from ssl_bench.data.sources import source_of
from ssl_bench.data.subjects import with_first_scans
from ssl_bench.errors import UserError
from ssl_bench.protocols.geometry.controls import control_descriptor
from ssl_bench.protocols.geometry.unit_vectors import volume_of
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.training.collapse import collapse_of_backbone
from ssl_bench.training.descent import on_device
from ssl_bench.training.examples import EvaluationExamples
from ssl_bench.training.own_map import own_map
from ssl_bench.training.pair_examples import PairExamples
from ssl_bench.training.progress import Progress
from ssl_bench.training.robustness import shifted_measures, trained_on_shifts
from ssl_bench.training.runtime import Runtime, Stopwatch, make_fabric, provenance
from ssl_bench.training.scoring import NeverPredicted, beside, describe, policy_of, score
from ssl_bench.weights.entrance import Entrance
from ssl_bench.weights.loading import module_report, scene_of

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric

    from ssl_bench.api.backbone import Backbone
    from ssl_bench.api.cases import Case
    from ssl_bench.api.task import TaskFacts
    from ssl_bench.training.attempt import Attempt
    from ssl_bench.weights.released import Match

COLLAPSE_CASES = 32
"""As many as under the protocols that train."""


def measure(
    cell: Cell,
    runtime: Runtime,
    progress: Progress,
    loaded: tuple[Backbone, Match, str],
    volumes_seen: int,
    attempt: Attempt,
    weights: Path | None,
) -> EvaluationRecord:
    """Run the measurement `cell`; `loaded` is the backbone, how its `weights` fitted, and their licence.

    Raises UserError for data that the protocol cannot measure.
    """
    spec, (backbone, match, licence) = cell.evaluation, loaded
    facts, protocol = TASKS.load(spec.task).facts, protocol_of(cell)
    parts = SPLITS if spec.scored_on == "test" else SPLITS[:2]
    source = source_of(cell)
    cases = source.load(*parts)
    train, scored = cases["train"], cases[parts[-1]]
    watch = Stopwatch(runtime, attempt.earlier_cost)
    fabric = make_fabric(runtime, spec.precision)
    entrance = Entrance(spec.backbone.contract, facts.modality)
    backbone.modality = facts.modality
    fabric.to_device(backbone)
    descriptor = control_descriptor(spec.control) if spec.control else OfBackbone(fabric, backbone, entrance)
    volumes = (on_device(fabric, volume_of(case)) for case in train[:COLLAPSE_CASES])
    describes, pairs = (
        _Describes(facts, EvaluationExamples(attempt.examples, facts)),
        PairExamples(attempt.examples, facts),
    )
    with progress.track(cell.title, protocol.looks(len(train), len(scored))) as advance, torch.no_grad():
        measured = Measured(
            facts,
            train,
            scored,
            spec.crop,
            spec.control,
            lambda: source.truth("train", parts[-1]),
            describes,
            advance,
            pairs,
            cache(lambda: own_map(fabric, cell, backbone, weights)),
        )
        rows = protocol.measure(measured, descriptor)
    metric = protocol.metrics[facts.kind]
    scored_by = partial(score_of, facts, metric)
    value = scored_by(rows)
    with torch.no_grad():
        shifted = shifted_measures(spec, protocol, measured, descriptor, scored_by, progress) if spec.shifts else []
    record = EvaluationRecord(
        status="ok",
        **cell.kept_in_record(),
        paradigm=spec.paradigm,
        scene=scene_of(spec.backbone, facts, cell.locations.corpus_region),
        metric=metric,
        score=None if np.isnan(value) else value,
        cases=_of_subjects(rows, source.patients()),
        beside=beside_of(protocol.beside, facts, rows),
        policy=policy_of(facts, metric),
        never_predicted=describes.never_predicted(),
        converged=True,
        shifted=shifted,
        trained_on_shifts=trained_on_shifts(spec) if shifted else None,
        volumes_seen_in_pretraining=volumes_seen,
        modules=None if spec.control else module_report(spec, facts.kind, protocol.facts, match),
        licence=licence,
        health={} if spec.control else collapse_of_backbone(fabric, backbone, volumes),
        cost=watch.read(),
        provenance=provenance(runtime, spec.precision),
        cases_digest=cases_digest([case for part in parts for case in cases[part]]),
    )
    describes.examples.write_slices(pairs.matches(), pairs.first_laid)
    return record


def protocol_of(cell: Cell) -> Measurement:
    """The measurement that the cell is of. Raises UserError for a kind of task that it does not measure."""
    spec = cell.evaluation
    facts, plugin = TASKS.load(spec.task).facts, PROTOCOLS.load(spec.protocol)
    assert issubclass(plugin, Measurement)
    if facts.kind not in plugin.metrics:
        raise UserError(f"{spec.protocol}: measures no {facts.kind} such as {spec.task}; choose another protocol")
    return plugin(plugin.Settings.model_validate(spec.protocol_settings), spec.seed)  # type: ignore[arg-type]


class OfBackbone:
    """The features of a backbone as a descriptor, at the cell's precision, of volumes as its weights expect them."""

    standardise = True

    def __init__(self, fabric: Fabric, backbone: Backbone, entrance: Entrance) -> None:
        self._fabric = fabric
        self._backbone = backbone
        self._entrance = entrance

    def local(self, volume: Tensor) -> Tensor:
        """See `Descriptor`."""
        with self._fabric.autocast():
            local: Tensor = self._backbone(self._entering(volume)).local
        return self._entrance.back(local.float())

    def stages(self, volume: Tensor) -> list[Tensor]:
        """See `Descriptor`."""
        with self._fabric.autocast():
            return [self._entrance.back(stage.float()) for stage in self._backbone.stages(self._entering(volume))]

    def pooled(self, volumes: Tensor) -> Tensor:
        """See `Descriptor`."""
        with self._fabric.autocast():
            return self._backbone.pool(self._entering(volumes))

    def _entering(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W), volume by volume."""
        each = [self._entrance.volume(volume[None]) for volume in volumes]
        return on_device(self._fabric, torch.cat(each))


class _Describes:
    """Scores predictions as the protocols that train do, and takes note of what is shown of them."""

    def __init__(self, facts: TaskFacts, examples: EvaluationExamples) -> None:
        self._facts = facts
        self.examples = examples
        self._dropped = NeverPredicted(facts)
        self._seen = False

    def __call__(self, case: Case, prediction: Tensor, ranked: bool = True) -> dict[str, Any]:
        """The row of `case`; where it is not `ranked` it stands beside another, without surfaces and picture."""
        row = describe(self._facts, case, prediction, surfaces=ranked)
        if ranked:
            self._seen = True
            self._dropped.see(case, prediction)
            self.examples.see(case, row, prediction)
        return row

    def never_predicted(self) -> list[str] | None:
        """As in records; None where nothing was predicted."""
        return self._dropped.names() if self._seen else None


def _of_subjects(rows: Rows, patients: Mapping[str, str]) -> Rows:
    """`rows` with whose scans they are about, as in `with_first_scans`; of a pair, both its sides."""
    if not rows or "partner" not in rows[0]:
        return with_first_scans(rows, patients)
    names = dict.fromkeys(row[side] for row in rows for side in ("subject", "partner"))
    scans = with_first_scans([{"case": name} for name in names], patients)
    first = {scan["case"]: scan.get("subject", scan["case"]) for scan in scans}
    return [row | {side: first[row[side]] for side in ("subject", "partner")} for row in rows]


def score_of(facts: TaskFacts, metric: str, rows: Rows) -> float:
    """The ranked number, NaN if undefined: the mean over rows, or where it is none, that of the kind of task."""
    field = METRICS[metric].of_case
    return _mean(rows, field) if field else score(facts, rows)


def beside_of(fields: Mapping[str, str], facts: TaskFacts, rows: Rows) -> dict[str, float]:
    """What is shown beside the score; without what no row holds."""
    means = {name: _mean(rows, field) for name, field in fields.items()}
    found = {name: value for name, value in means.items() if not np.isnan(value)}
    return found if of_voxels(facts.kind) else beside(facts, rows)


def _mean(rows: Rows, field: str) -> float:
    values = [row[field] for row in rows if row.get(field) is not None]
    return float(np.mean(values)) if values else float("nan")
