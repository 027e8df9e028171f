"""Evaluation: a backbone, a task and a protocol in, the scores of every test case out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_bench.backbone import UNet3D
from ssl_bench.cells.plan import Cell
from ssl_bench.cells.record import SEMI_REAL, EvaluationRecord
from ssl_bench.crops import CaseBatches
from ssl_bench.data import cases_digest, load_cases
from ssl_bench.draws import stream_seed
from ssl_bench.engine.health import representation_health
from ssl_bench.engine.inference import predict
from ssl_bench.engine.optimisation import build_optimiser, build_schedule
from ssl_bench.engine.pretraining import build_backbone
from ssl_bench.engine.progress import Progress
from ssl_bench.engine.runtime import Runtime, Stopwatch, make_fabric, provenance, seeded_initialisation
from ssl_bench.engine.scoring import POLICIES, describe, score
from ssl_bench.engine.weights import load_weights, module_report, paradigm_of, scene_of
from ssl_bench.heads import Downstream
from ssl_bench.losses import soft_dice_loss
from ssl_bench.protocol import Batch, ProtocolSettings
from ssl_bench.registry import PROTOCOLS, TASKS

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
    train, validation, test = (
        load_cases(science.task, science.data, split, cell.anatomy) for split in ("train", "validation", "test")
    )
    watch = Stopwatch(runtime)
    fabric = make_fabric(runtime, science.precision)
    backbone = build_backbone(science.backbone.width, science.seed)
    match = load_weights(backbone, weights)
    with seeded_initialisation(stream_seed(science.seed, "downstream head", science.task)):
        model = Downstream(backbone, task.facts.kind, len(task.facts.classes))
    fabric.to_device(model)
    health = _health(fabric, model.backbone, train)

    def features(volumes: Tensor) -> Tensor:
        with fabric.autocast():
            return model.features(_on(fabric, volumes))

    module, draw = protocol_class(settings, science.seed).prepare(model, CaseBatches(train, science.crop), features)

    def describe_all(cases: Sequence[Case], surfaces: bool) -> list[dict[str, Any]]:
        predictions = (_predict(fabric, model, case, science.crop, science.overlap) for case in cases)
        return [describe(task.facts, c, p, surfaces) for c, p in zip(cases, predictions, strict=True)]

    def validate() -> float:
        return score(task.facts, describe_all(validation, surfaces=False))

    curve, best_step, best = _fit(fabric, module, draw, settings, validate, progress, cell.title)
    module.load_state_dict(best)
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
        validation_curve=curve,
        best_step=best_step,
        converged=best_step <= 0.9 * settings.steps,
        volumes_seen_in_pretraining=volumes_seen,
        modules=module_report(science, task.facts.kind, protocol_class.facts.frozen_backbone, match),
        health=health,
        cost=watch.read(),
        provenance=provenance(runtime, science.precision),
        cases_digest=cases_digest([*train, *validation, *test]),
    )


def _fit(
    fabric: Fabric,
    module: nn.Module,
    draw: Callable[[int], Batch],
    settings: ProtocolSettings,
    validate: Callable[[], float],
    progress: Progress,
    title: str,
) -> tuple[list[dict[str, float]], int, dict[str, Tensor]]:
    """Train `module`; the validation curve, the best step and the weights at it."""
    optimiser = build_optimiser(module.parameters(), settings.optimiser)
    schedule = build_schedule(optimiser, settings.optimiser, settings.steps)
    wrapped, optimiser = fabric.setup(module, optimiser)
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    best_step, best_score, best = 0, -np.inf, module.state_dict()
    with progress.track(title, settings.steps) as advance:
        for step in range(settings.steps):
            inputs, targets = draw(step)
            loss = _loss(wrapped(_on(fabric, inputs)), fabric.to_device(targets))
            losses.append(float(loss.detach()))
            if not np.isfinite(losses[-1]):
                raise FloatingPointError(f"training loss is {losses[-1]} at step {step}")
            optimiser.zero_grad()
            fabric.backward(loss)
            if settings.optimiser.gradient_clip:
                fabric.clip_gradients(wrapped, optimiser, max_norm=settings.optimiser.gradient_clip)
            optimiser.step()
            schedule.step_update(step + 1)
            done = step + 1
            if done % settings.validate_every == 0 or done == settings.steps:
                value = validate()
                curve.append({"step": done, "score": value, "loss": float(np.mean(losses[-settings.validate_every :]))})
                # Ties go to the later step, as in the released code; an undefined score never beats a defined one.
                if best_step == 0 or value >= best_score or np.isnan(best_score):
                    best_step, best_score, best = done, value, copy.deepcopy(module.state_dict())
            advance(f"loss {losses[-1]:.3f}")
    return curve, best_step, best


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Soft Dice over all classes for a segmentation, binary cross-entropy for a classification; in float32."""
    if targets.is_floating_point():
        return F.binary_cross_entropy_with_logits(logits.float(), targets)
    return soft_dice_loss(logits, targets)


def _predict(fabric: Fabric, model: Downstream, case: Case, crop: int, overlap: float) -> Any:
    volume = torch.from_numpy(np.array(case.image, dtype=np.float32))[None, None]
    with torch.no_grad(), fabric.autocast():
        return predict(model, _on(fabric, volume), crop, overlap)


def _health(fabric: Fabric, backbone: UNet3D, cases: Sequence[Case]) -> dict[str, float]:
    with torch.no_grad(), fabric.autocast():
        volumes = (
            torch.from_numpy(np.array(case.image, dtype=np.float32))[None, None] for case in cases[:HEALTH_CASES]
        )
        features = [backbone.pool(_on(fabric, volume)) for volume in volumes]
    return representation_health(torch.cat(features))


def _on(fabric: Fabric, tensor: Tensor) -> Tensor:
    moved: Tensor = fabric.to_device(tensor)
    return moved.contiguous(memory_format=torch.channels_last_3d) if moved.ndim == 5 else moved
