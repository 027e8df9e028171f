"""Evaluation: a backbone, a task and a protocol in, the scores of every test case out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.backbone import Backbone
from ssl_bench.cells.plan import Cell
from ssl_bench.cells.record import SEMI_REAL, EvaluationRecord
from ssl_bench.cells.science import EvaluationScience, ExternalBackbone
from ssl_bench.crops import CaseBatches
from ssl_bench.data import cases_digest, load_cases
from ssl_bench.draws import seeded_initialisation, stream_seed
from ssl_bench.engine.health import representation_health
from ssl_bench.engine.inference import predict
from ssl_bench.engine.optimisation import build_optimiser, build_schedule, descend
from ssl_bench.engine.pretraining import build_backbone
from ssl_bench.engine.progress import Progress
from ssl_bench.engine.runtime import Runtime, Stopwatch, make_fabric, provenance
from ssl_bench.engine.scoring import POLICIES, describe, score
from ssl_bench.engine.weights import build_external, load_weights, module_report, paradigm_of, scene_of
from ssl_bench.external.released import Match
from ssl_bench.heads import Downstream
from ssl_bench.losses import soft_dice_loss
from ssl_bench.protocol import ProtocolSettings, Training
from ssl_bench.registry import PROTOCOLS, TASKS
from ssl_bench.settings import OptimiserSettings

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric

    from ssl_bench.task import Case

HEALTH_CASES = 32


def evaluate(
    cell: Cell, runtime: Runtime, progress: Progress, weights: Path | None, volumes_seen: int
) -> EvaluationRecord:
    """Run the evaluation `cell` on the backbone in `weights`; None is the random backbone of the cell's seed.

    Raises UserError if `weights` does not fit, FloatingPointError if the loss is no longer finite.
    """
    science = cell.evaluation
    task = TASKS.load(science.task)
    protocol_class = PROTOCOLS.load(science.protocol)
    settings = protocol_class.Settings.model_validate(science.protocol_settings)
    protocol = protocol_class(settings, science.seed)
    train, validation, test = (
        load_cases(science.task, science.data, split, cell.anatomy) for split in ("train", "validation", "test")
    )
    watch = Stopwatch(runtime)
    fabric = make_fabric(runtime, science.precision)
    backbone, match, licence = _backbone(science, weights, task.facts.modality)
    backbone.checkpointing = runtime.checkpointing
    with seeded_initialisation(stream_seed(science.seed, "downstream head", science.task)):
        model = protocol.build(backbone, task.facts.kind, len(task.facts.classes))
    fabric.to_device(model)
    health = _health(fabric, model.backbone, train)

    def features(volumes: Tensor) -> tuple[Tensor, ...]:
        with fabric.autocast():
            return model.features(_on(fabric, volumes))

    training = protocol.prepare(model, CaseBatches(train, science.crop), features)

    def describe_all(cases: Sequence[Case], surfaces: bool) -> list[dict[str, Any]]:
        predictions = (_predict(fabric, model, case, science.crop, science.overlap) for case in cases)
        return [describe(task.facts, c, p, surfaces) for c, p in zip(cases, predictions, strict=True)]

    def validate() -> float:
        return score(task.facts, describe_all(validation, surfaces=False))

    fit = _fit_best(fabric, training, settings, validate, progress, cell.title)
    cases = describe_all(test, surfaces=True)
    value = score(task.facts, cases)
    return EvaluationRecord(
        key=cell.key,
        status="ok",
        setting=cell.setting,
        data=SEMI_REAL,
        science=science,
        paradigm=paradigm_of(science.backbone),
        scene=scene_of(science.backbone, task.facts),
        metric=task.facts.metric,
        score=None if np.isnan(value) else value,
        cases=cases,
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


def _backbone(
    science: EvaluationScience, weights: Path | None, modality: Literal["CT", "MR"]
) -> tuple[Backbone, Match, str]:
    """The backbone with its weights, how they fitted, and their licence if they came from outside."""
    if isinstance(science.backbone, ExternalBackbone):
        assert weights is not None
        return build_external(science.backbone, weights, modality)
    backbone = build_backbone(science.backbone.width, science.seed)
    return backbone, load_weights(backbone, weights), ""


class Fit(NamedTuple):
    """How one training went."""

    learning_rate: float
    curve: list[dict[str, float]]
    best_step: int
    best_score: float
    best: dict[str, Tensor]
    """The module's weights at the best step."""

    def beats(self, other: Fit) -> bool:
        """Whether its best validation score is higher; an undefined score never beats a defined one."""
        return self.best_score > other.best_score or (np.isnan(other.best_score) and not np.isnan(self.best_score))


def _fit_best(
    fabric: Fabric,
    training: Training,
    settings: ProtocolSettings,
    validate: Callable[[], float],
    progress: Progress,
    title: str,
) -> Fit:
    """Train with every optimiser from the same start; leave the module with the weights that validate best."""
    several = len(training.optimisers) > 1
    start = copy.deepcopy(training.module.state_dict()) if several else None
    best: Fit | None = None
    with progress.track(title, settings.steps * len(training.optimisers)) as advance:
        for optimiser in training.optimisers:
            if start is not None:
                training.module.load_state_dict(start)
            fit = _fit(fabric, training, optimiser, settings, validate, advance)
            if best is None or fit.beats(best):
                best = fit
    assert best is not None
    training.module.load_state_dict(best.best)
    return best


def _fit(
    fabric: Fabric,
    training: Training,
    optimiser_settings: OptimiserSettings,
    settings: ProtocolSettings,
    validate: Callable[[], float],
    advance: Callable[[str], None],
) -> Fit:
    module = training.module
    optimiser = build_optimiser(module.parameters(), optimiser_settings)
    schedule = build_schedule(optimiser, optimiser_settings, settings.steps)
    wrapped, optimiser = fabric.setup(module, optimiser)
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    best_step, best_score, best = 0, -np.inf, module.state_dict()
    for step in range(settings.steps):
        inputs, targets = training.draw(step)
        loss = _loss(wrapped(*(_on(fabric, tensor) for tensor in inputs)), fabric.to_device(targets))
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"training loss is {losses[-1]} at step {step}")
        descend(fabric, wrapped, optimiser, loss, optimiser_settings.gradient_clip)
        schedule.step_update(step + 1)
        done = step + 1
        if done % settings.validate_every == 0 or done == settings.steps:
            value = validate()
            curve.append({"step": done, "score": value, "loss": float(np.mean(losses[-settings.validate_every :]))})
            # Ties go to the later step, as in the released code; an undefined score never beats a defined one.
            if best_step == 0 or value >= best_score or np.isnan(best_score):
                best_step, best_score, best = done, value, copy.deepcopy(module.state_dict())
        advance(f"loss {losses[-1]:.3f}")
    return Fit(optimiser_settings.learning_rate, curve, best_step, best_score, best)


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Soft Dice over all classes for a segmentation, binary cross-entropy for a classification; in float32."""
    if targets.is_floating_point():
        return F.binary_cross_entropy_with_logits(logits.float(), targets)
    return soft_dice_loss(logits, targets)


def _predict(fabric: Fabric, model: Downstream, case: Case, crop: int, overlap: float) -> Any:
    volume = torch.from_numpy(np.array(case.image, dtype=np.float32))[None, None]
    with torch.no_grad(), fabric.autocast():
        return predict(model, _on(fabric, volume), crop, overlap)


def _health(fabric: Fabric, backbone: Backbone, cases: Sequence[Case]) -> dict[str, float]:
    with torch.no_grad(), fabric.autocast():
        volumes = (
            torch.from_numpy(np.array(case.image, dtype=np.float32))[None, None] for case in cases[:HEALTH_CASES]
        )
        features = [backbone.pool(_on(fabric, volume)) for volume in volumes]
    return representation_health(torch.cat(features))


def _on(fabric: Fabric, tensor: Tensor) -> Tensor:
    moved: Tensor = fabric.to_device(tensor)
    return moved.contiguous(memory_format=torch.channels_last_3d) if moved.ndim == 5 else moved
