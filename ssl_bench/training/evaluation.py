"""Evaluation: a backbone, a task and a protocol in, the scores of every test case out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.cases import SPLITS
from ssl_bench.api.registry import PROTOCOLS, TASKS
from ssl_bench.api.rng import seeded_initialisation, stream_seed
from ssl_bench.data.source import cases_digest
from ssl_bench.data.sources import source_of
from ssl_bench.data.windows import CaseBatches
from ssl_bench.protocols.frozen.features import Features, RepeatedFeatures
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import EvaluationRecord, kind_of_data
from ssl_bench.spec.specification import EvaluationSpec, ExternalBackbone
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.collapse import backbone_health
from ssl_bench.training.examples import EvaluationExamples
from ssl_bench.training.fitting import Fitting, on_device
from ssl_bench.training.inference import predict
from ssl_bench.training.pretraining import build_backbone
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, Stopwatch, make_fabric, provenance
from ssl_bench.training.scoring import POLICIES, describe, score
from ssl_bench.weights.loading import build_external, load_weights, module_report, scene_of
from ssl_bench.weights.released import Match

if TYPE_CHECKING:
    from pathlib import Path

    from ssl_bench.api.cases import Case

HEALTH_CASES = 32


def evaluate(
    cell: Cell, runtime: Runtime, progress: Progress, weights: Path | None, volumes_seen: int, attempt: Attempt
) -> EvaluationRecord:
    """Run the evaluation `cell` on the backbone in `weights`; None is the random backbone of the cell's seed.

    Raises UserError if `weights` does not fit, FloatingPointError if the loss is no longer finite.
    """
    spec = cell.evaluation
    task = TASKS.load(spec.task)
    protocol_class = PROTOCOLS.load(spec.protocol)
    settings = protocol_class.Settings.model_validate(spec.protocol_settings)
    protocol = protocol_class(settings, spec.seed)
    cases = source_of(cell).load()
    train, validation, test = (cases[split] for split in SPLITS)
    watch = Stopwatch(runtime, attempt.earlier_cost)
    fabric = make_fabric(runtime, spec.precision)
    backbone, match, licence = _backbone(spec, weights)
    backbone.modality = task.facts.modality
    backbone.checkpointing = runtime.checkpointing
    with seeded_initialisation(stream_seed(spec.seed, "downstream head", spec.task)):
        model = protocol.build(backbone, task.facts.kind, len(task.facts.classes))
    fabric.to_device(model)
    looked_at = (on_device(fabric, _volume(case)) for case in train[:HEALTH_CASES])
    health = backbone_health(fabric, model.backbone, looked_at)

    def features(volumes: Tensor) -> tuple[Tensor, ...]:
        with fabric.autocast():
            return model.features(on_device(fabric, volumes))

    training = protocol.prepare(model, CaseBatches(train, spec.crop), features)

    def predict_case(case: Case, features: Callable[[Tensor], Features] | None = None) -> Tensor:
        with torch.no_grad(), fabric.autocast():
            return predict(model, on_device(fabric, _volume(case)), spec.crop, spec.overlap, features)

    def local_features(volume: Tensor) -> Tensor:
        with fabric.autocast():
            local: Tensor = model.backbone(on_device(fabric, volume)).local
        return local

    repeated = RepeatedFeatures(model.features) if protocol.facts.frozen_backbone else None

    def validate() -> float:
        features = [repeated.of(case.identifier) if repeated else None for case in validation]
        predictions = map(predict_case, validation, features)
        rows = [describe(task.facts, *pair, surfaces=False) for pair in zip(validation, predictions, strict=True)]
        return score(task.facts, rows)

    fit = Fitting(fabric, training, settings, validate, attempt, watch.read).best(progress, cell.title)
    described, examples = [], EvaluationExamples(attempt.examples)
    for case in test:
        prediction = predict_case(case)
        described.append(describe(task.facts, case, prediction, surfaces=True))
        examples.see(case, described[-1], prediction)
    value = score(task.facts, described)
    record = EvaluationRecord(
        key=cell.key,
        status="ok",
        setting=cell.setting,
        data=kind_of_data(spec.data),
        overlap=list(cell.overlap),
        left_out=list(cell.left_out),
        spec=spec,
        paradigm=spec.backbone.paradigm,
        scene=scene_of(spec.backbone, task.facts, cell.locations.corpus_region),
        metric=task.facts.metric,
        score=None if np.isnan(value) else value,
        cases=described,
        policy=POLICIES[task.facts.metric],
        validation_curve=fit.curve,
        learning_rate=fit.learning_rate if len(training.optimisers) > 1 else None,
        best_step=fit.best_step,
        converged=fit.best_step <= 0.9 * settings.steps,
        volumes_seen_in_pretraining=volumes_seen,
        modules=module_report(spec, task.facts.kind, protocol_class.facts, match),
        licence=licence,
        health=health,
        cost=watch.read(),
        provenance=provenance(runtime, spec.precision),
        cases_digest=cases_digest([*train, *validation, *test]),
    )
    examples.write(test[0], local_features, spec.crop)
    return record


def _backbone(spec: EvaluationSpec, weights: Path | None) -> tuple[Backbone, Match, str]:
    """The backbone with its weights, how they fitted, and their licence if they came from outside."""
    if isinstance(spec.backbone, ExternalBackbone):
        assert weights is not None
        return build_external(spec.backbone, weights)
    backbone = build_backbone(spec.backbone.width, spec.seed, spec.backbone.network)
    return backbone, load_weights(backbone, weights, spec.backbone.network), ""


def _volume(case: Case) -> Tensor:
    return torch.from_numpy(np.array(case.image, dtype=np.float32))[None, None]
