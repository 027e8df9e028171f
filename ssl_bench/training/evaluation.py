"""Evaluation: a backbone, a task and a protocol in, the scores of every test case out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.cases import SPLITS
from ssl_bench.api.kinds import of_voxels
from ssl_bench.api.measurement import Measurement
from ssl_bench.api.registry import PROTOCOLS, TASKS
from ssl_bench.api.rng import seeded_initialisation, stream_seed
from ssl_bench.data.source import cases_digest
from ssl_bench.data.sources import source_of
from ssl_bench.data.subjects import with_first_scans
from ssl_bench.data.windows import CaseBatches
from ssl_bench.protocols.frozen.features import Features, RepeatedFeatures
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.contract import InputContract
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.spec.specification import EvaluationSpec, ExternalBackbone
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.collapse import collapse_of_backbone
from ssl_bench.training.descent import on_device
from ssl_bench.training.examples import EvaluationExamples
from ssl_bench.training.fitting import Fitting, steps_done
from ssl_bench.training.goal import Goal
from ssl_bench.training.inference import predict
from ssl_bench.training.measuring import measure
from ssl_bench.training.pretraining import build_backbone
from ssl_bench.training.progress import Progress
from ssl_bench.training.robustness import shifted_scores, trained_on_shifts
from ssl_bench.training.run_log import RunLog
from ssl_bench.training.runtime import Runtime, Stopwatch, make_fabric, provenance
from ssl_bench.training.scoring import NeverPredicted, beside, describe, policy_of, score
from ssl_bench.training.targets import TargetScale
from ssl_bench.weights.entrance import Entrance
from ssl_bench.weights.loading import build_external, load_weights, module_report, reset_part, scene_of
from ssl_bench.weights.released import Match

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric

    from ssl_bench.api.cases import Case
    from ssl_bench.api.downstream import Downstream
    from ssl_bench.api.task import TaskFacts

COLLAPSE_CASES = 32
"""So many training cases show by their features whether the backbone has collapsed."""


def evaluate(
    cell: Cell, runtime: Runtime, progress: Progress, weights: Path | None, volumes_seen: int, attempt: Attempt
) -> EvaluationRecord:
    """Run the evaluation `cell` on the backbone in `weights`; None is the random backbone of the cell's seed.

    Raises UserError if `weights` does not fit, FloatingPointError if the loss is no longer finite.
    """
    spec = cell.evaluation
    facts = TASKS.load(spec.task).facts
    protocol_class = PROTOCOLS.load(spec.protocol)
    if issubclass(protocol_class, Measurement):
        return measure(cell, runtime, progress, _backbone(spec, weights), volumes_seen, attempt, weights)
    settings = protocol_class.Settings.model_validate(spec.protocol_settings)
    protocol = protocol_class(settings, spec.seed)
    # A trial is over when it has validated: nothing reads its test cases.
    splits = SPLITS if spec.scored_on == "test" else SPLITS[:2]
    source = source_of(cell)
    cases = source.load(*splits)
    watch = Stopwatch(runtime, attempt.earlier_cost)
    fabric = make_fabric(runtime, spec.precision)
    backbone, match, licence = _backbone(spec, weights)
    backbone.modality, backbone.checkpointing = facts.modality, runtime.checkpointing
    with seeded_initialisation(stream_seed(spec.seed, "downstream head", spec.task)):
        model = protocol.build(backbone, facts.kind, len(facts.classes))
    fabric.to_device(model)
    entrance = Entrance(spec.backbone.contract, facts.modality)
    batches = (on_device(fabric, _volume(entrance.case(case))) for case in cases["train"][:COLLAPSE_CASES])
    collapse = collapse_of_backbone(fabric, model.backbone, batches)
    scale = TargetScale.of(cases["train"]) if facts.kind == "regression" else None
    on_cases = ModelOnCases(fabric, model, facts, spec, scale, entrance)
    learned = scale.standardised(cases["train"]) if scale else cases["train"]
    training = protocol.prepare(model, CaseBatches(entrance.cases(learned), spec.crop), on_cases.features)
    goal = Goal.of(facts.metric, scale.deviation if scale else 1.0)
    repeated = RepeatedFeatures(model.features) if protocol.facts.frozen_backbone else None
    with RunLog(attempt.events, steps_done(attempt)) as log:
        log.add_all("collapse", [{"step": 0, **collapse}])
        validate = partial(on_cases.validate, cases["validation"], repeated)
        fitting = Fitting(fabric, training, settings, validate, attempt, watch.read, log, goal)
        fitted = fitting.best(progress, cell.title)
    examples = EvaluationExamples(attempt.examples, facts)
    described, never_predicted = on_cases.test(cases.get("test", []), examples)
    value = score(facts, described) if described else fitted.best.best_score
    shifted = shifted_scores(spec, facts, cases.get("test", []), on_cases.predict, progress) if spec.shifts else []
    record = EvaluationRecord(
        status="ok",
        **cell.kept_in_record(),
        paradigm=spec.backbone.paradigm,
        scene=scene_of(spec.backbone, facts, cell.locations.corpus_region),
        metric=facts.metric,
        score=None if np.isnan(value) else value,
        cases=with_first_scans(described, source.patients()),
        beside=beside(facts, described),
        policy=policy_of(facts),
        never_predicted=never_predicted,
        validation_curve=fitted.best.curve,
        learning_rate=fitted.best.learning_rate if len(training.optimisers) > 1 else None,
        learning_rate_interior=fitted.interior,
        best_step=fitted.best.best_step,
        steps_made=fitted.steps,
        converged=fitted.converged,
        shifted=shifted,
        trained_on_shifts=trained_on_shifts(spec) if shifted else None,
        volumes_seen_in_pretraining=volumes_seen,
        modules=module_report(spec, facts.kind, protocol_class.facts, match),
        licence=licence,
        health=collapse,
        cost=watch.read(),
        provenance=provenance(runtime, spec.precision),
        cases_digest=cases_digest([case for split in splits for case in cases[split]]),
    )
    if "test" in cases:
        examples.write(cases["test"][0], on_cases.local_features, spec.crop)
    return record


class ModelOnCases:
    """A model that reads the cases of its task."""

    def __init__(
        self,
        fabric: Fabric,
        model: Downstream,
        facts: TaskFacts,
        spec: EvaluationSpec,
        scale: TargetScale | None = None,
        entrance: Entrance | None = None,
    ) -> None:
        """`scale` is that of the targets that the model learned, where those are numbers.

        `entrance` turns and scales the volumes that the model gets, and its labels back; None: as they are.
        """
        self.fabric = fabric
        self.model = model
        self.facts = facts
        self.spec = spec
        self.scale = scale
        self.entrance = entrance or Entrance(InputContract(), facts.modality)

    def features(self, volumes: Tensor) -> tuple[Tensor, ...]:
        """The model's features of `volumes` (B, C, D, H, W)."""
        with self.fabric.autocast():
            return self.model.features(on_device(self.fabric, volumes))

    def local_features(self, volume: Tensor) -> Tensor:
        """The backbone's local features of `volume` (1, C, D, H, W)."""
        with self.fabric.autocast():
            local: Tensor = self.model.backbone(on_device(self.fabric, self.entrance.volume(volume))).local
        return self.entrance.back(local)

    def predict(self, case: Case, features: Callable[[Tensor], Features] | None = None) -> Tensor:
        """What `predict` says of the case, a number in its own unit.

        `features` gives those of windows that need not be computed again.
        """
        volume = on_device(self.fabric, _volume(self.entrance.case(case)))
        with torch.no_grad(), self.fabric.autocast():
            codes = self.facts.region_codes
            found = predict(self.model, volume, self.spec.crop, self.spec.overlap, features, codes)
        if of_voxels(self.facts.kind):
            return self.entrance.back(found)
        return self.scale.restored(found) if self.scale else found

    def validate(self, cases: Sequence[Case], repeated: RepeatedFeatures | None) -> float:
        """The score on `cases`; a frozen backbone's features are `repeated`."""
        rows = []
        for case in cases:
            prediction = self.predict(case, repeated.of(case.identifier) if repeated else None)
            rows.append(describe(self.facts, case, prediction, surfaces=False))
        return score(self.facts, rows)

    def test(self, cases: Sequence[Case], examples: EvaluationExamples) -> tuple[list[dict[str, Any]], list[str]]:
        """The row of every one of `cases`, each of which `examples` sees, and the classes that are never predicted."""
        rows, dropped = [], NeverPredicted(self.facts)
        for case in cases:
            prediction = self.predict(case)
            rows.append(describe(self.facts, case, prediction, surfaces=True))
            dropped.see(case, prediction)
            examples.see(case, rows[-1], prediction)
        return rows, dropped.names()


def _backbone(spec: EvaluationSpec, weights: Path | None) -> tuple[Backbone, Match, str]:
    """The backbone with its weights, how they fitted, and their licence if they came from outside."""
    made_by, licence, channels = spec.backbone, "", spec.data.channels
    # Where the encoder is reset nothing is seen of how it was entered.
    stem = "new" if spec.reset == "encoder" else spec.stem
    if isinstance(made_by, ExternalBackbone):
        assert weights is not None
        drawn = stream_seed(spec.seed, "backbone")
        backbone, match, licence = build_external(made_by, weights, channels, stem, drawn)
    else:
        backbone = build_backbone(made_by.width, spec.seed, made_by.network, channels)
        match = load_weights(backbone, weights, made_by.network, stem)
    if spec.reset:
        start = build_backbone(made_by.width, spec.seed, made_by.network, channels)
        match = reset_part(backbone, start, spec.reset, match)
    return backbone, match, licence


def _volume(case: Case) -> Tensor:
    return torch.from_numpy(np.array(case.channels, dtype=np.float32))[None]
