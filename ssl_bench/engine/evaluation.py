"""Evaluation: a backbone, a task and a protocol in, the scores of every test case out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from ssl_bench.backbone import Backbone
from ssl_bench.cells.plan import Cell
from ssl_bench.cells.record import EvaluationRecord, kind_of_data
from ssl_bench.cells.science import EvaluationScience, ExternalBackbone
from ssl_bench.crops import CaseBatches
from ssl_bench.data import cases_digest, load_cases
from ssl_bench.draws import seeded_initialisation, stream_seed
from ssl_bench.engine.attempt import Attempt
from ssl_bench.engine.examples import EvaluationExamples
from ssl_bench.engine.fitting import Fitting, on_device
from ssl_bench.engine.health import backbone_health
from ssl_bench.engine.inference import predict
from ssl_bench.engine.pretraining import build_backbone
from ssl_bench.engine.progress import Progress
from ssl_bench.engine.runtime import Runtime, Stopwatch, make_fabric, provenance
from ssl_bench.engine.scoring import POLICIES, describe, score
from ssl_bench.engine.weights import build_external, load_weights, module_report, paradigm_of, scene_of
from ssl_bench.external.released import Match
from ssl_bench.frozen import Features, RepeatedFeatures
from ssl_bench.registry import PROTOCOLS, TASKS
from ssl_bench.task import SPLITS

if TYPE_CHECKING:
    from pathlib import Path

    from ssl_bench.task import Case

HEALTH_CASES = 32


def evaluate(
    cell: Cell, runtime: Runtime, progress: Progress, weights: Path | None, volumes_seen: int, attempt: Attempt
) -> EvaluationRecord:
    """Run the evaluation `cell` on the backbone in `weights`; None is the random backbone of the cell's seed.

    Raises UserError if `weights` does not fit, FloatingPointError if the loss is no longer finite.
    """
    science = cell.evaluation
    task = TASKS.load(science.task)
    protocol_class = PROTOCOLS.load(science.protocol)
    settings = protocol_class.Settings.model_validate(science.protocol_settings)
    protocol = protocol_class(settings, science.seed)
    cases = load_cases(science.task, science.data, cell.sources)
    train, validation, test = (cases[split] for split in SPLITS)
    watch = Stopwatch(runtime, attempt.earlier_cost)
    fabric = make_fabric(runtime, science.precision)
    backbone, match, licence = _backbone(science, weights, task.facts.modality)
    backbone.checkpointing = runtime.checkpointing
    with seeded_initialisation(stream_seed(science.seed, "downstream head", science.task)):
        model = protocol.build(backbone, task.facts.kind, len(task.facts.classes))
    fabric.to_device(model)
    looked_at = (on_device(fabric, _volume(case)) for case in train[:HEALTH_CASES])
    health = backbone_health(fabric, model.backbone, looked_at)

    def features(volumes: Tensor) -> tuple[Tensor, ...]:
        with fabric.autocast():
            return model.features(on_device(fabric, volumes))

    training = protocol.prepare(model, CaseBatches(train, science.crop), features)

    def predict_case(case: Case, features: Callable[[Tensor], Features] | None = None) -> Tensor:
        with torch.no_grad(), fabric.autocast():
            return predict(model, on_device(fabric, _volume(case)), science.crop, science.overlap, features)

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
        data=kind_of_data(science.data),
        overlap=list(cell.overlap),
        left_out=list(cell.left_out),
        science=science,
        paradigm=paradigm_of(science.backbone),
        scene=scene_of(science.backbone, task.facts, cell.sources.corpus_region),
        metric=task.facts.metric,
        score=None if np.isnan(value) else value,
        cases=described,
        policy=POLICIES[task.facts.metric],
        validation_curve=fit.curve,
        learning_rate=fit.learning_rate if len(training.optimisers) > 1 else None,
        best_step=fit.best_step,
        converged=fit.best_step <= 0.9 * settings.steps,
        volumes_seen_in_pretraining=volumes_seen,
        modules=module_report(science, task.facts.kind, protocol_class.facts, match),
        licence=licence,
        health=health,
        cost=watch.read(),
        provenance=provenance(runtime, science.precision),
        cases_digest=cases_digest([*train, *validation, *test]),
    )
    examples.write(test[0], local_features, science.crop)
    return record


def _backbone(
    science: EvaluationScience, weights: Path | None, modality: Literal["CT", "MR"]
) -> tuple[Backbone, Match, str]:
    """The backbone with its weights, how they fitted, and their licence if they came from outside."""
    if isinstance(science.backbone, ExternalBackbone):
        assert weights is not None
        return build_external(science.backbone, weights, modality)
    backbone = build_backbone(science.backbone.width, science.seed)
    return backbone, load_weights(backbone, weights), ""


def _volume(case: Case) -> Tensor:
    return torch.from_numpy(np.array(case.image, dtype=np.float32))[None, None]
