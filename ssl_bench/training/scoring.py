"""Scores of test cases: one row a case, one ranked number a task."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.kinds import of_voxels
from ssl_bench.api.task import TaskFacts
from ssl_bench.metrics.auc import roc_auc
from ssl_bench.metrics.centreline import centreline_dice
from ssl_bench.metrics.dice import dice_per_class
from ssl_bench.metrics.surface import surface_distances
from ssl_bench.metrics.volumes import accuracies, explained, macro_auc, mean_absolute_error
from ssl_bench.spec.record import COUNTS_MISSES
from ssl_bench.training.labels import layers, occurring, scored

POLICIES = {
    "DSC": "a class absent from truth and prediction is left out (null); absent from one of them it scores 0"
    f"; {COUNTS_MISSES}: it has the volume's diagonal as HD95 (mm), and surface Dice 0",
    "AUC": "undefined (null) where the test cases are all of one class",
    "macro AUC": "each class against the rest, all weighing the same; undefined (null) where a class has no case",
    "MAE": "in the unit of the targets; predictions are not clipped to their range",
}
MEASUREMENT_POLICIES = {
    "match error": "the mean over pairs of test cases of each pair's median over points; points whose true partner "
    "lies outside the other case are left out",
    "mAP": "the mean over test cases of the mean over their windows; windows without a like one elsewhere are left out",
}
"""Of protocols that train nothing, where they rank by a metric of their own."""
KIND_POLICIES = {
    "sparse segmentation": "; ignored voxels count as background in truth and prediction",
    "region segmentation": "; each region is scored by itself, a prediction being a union of the labels painted in the "
    "data set's order; ignored voxels count as background in truth and prediction",
}


CENTRELINE_POLICY = "; centreline Dice version 2: a part of a structure that thinning erases keeps a centreline"
"""Version 1 took a part that was erased beside another for absent."""


def policy_of(facts: TaskFacts, metric: str = "") -> str:
    """How a task's cases are scored, by its own or another `metric`, where that is a matter of choice: for records."""
    if metric in MEASUREMENT_POLICIES:
        return MEASUREMENT_POLICIES[metric]
    return POLICIES[facts.metric] + KIND_POLICIES.get(facts.kind, "") + (CENTRELINE_POLICY if facts.centreline else "")


def describe(facts: TaskFacts, case: Case, prediction: Tensor, surfaces: bool) -> dict[str, Any]:
    """The row of one case; undefined values are None.

    Voxels: DSC of each class or region and its mean, and with `surfaces` HD95 in mm, surface Dice at a tolerance of one
    voxel and, for tubular structures, centreline Dice: recorded, not ranked. Volumes: label and probability, or the
    probabilities of all classes, or the target (`label`) and the prediction of it.
    """
    row: dict[str, Any] = {"case": case.identifier}
    if facts.kind == "classification":
        return row | {"label": case.label, "probability": float(prediction)}
    if facts.kind == "multi-class":
        assert isinstance(case.label, int)
        said = {"label": case.label, "class": facts.classes[case.label]}
        return row | said | {"probabilities": _named(facts, prediction.tolist())}
    if facts.kind == "regression":
        return row | {"label": case.label, "prediction": _number(float(prediction))}
    predicted, truth = scored(facts, prediction, np.asarray(case.label))
    pairs = list(zip(layers(facts, predicted), layers(facts, truth), strict=True))
    dice = [score for (p, count), (t, _) in pairs for score in dice_per_class(p, t, count)[0].tolist()]
    row |= {"dsc": _mean(dice), "dsc_per_class": _named(facts, dice)}
    if surfaces:
        tolerance_mm = max(case.spacing_mm)
        found = [surface_distances(p, t, count, case.spacing_mm, tolerance_mm) for (p, count), (t, _) in pairs]
        row["hd95_mm_per_class"] = _named(facts, torch.cat([each.hd95_mm[0] for each in found]).tolist())
        row["surface_dice_per_class"] = _named(facts, torch.cat([each.surface_dice[0] for each in found]).tolist())
        if facts.centreline:
            scores = torch.cat([centreline_dice(p, t, count)[0] for (p, count), (t, _) in pairs])
            row["centreline_dice"] = _number(float(scores.nanmean()))
    return row


def score(facts: TaskFacts, rows: list[dict[str, Any]]) -> float:
    """The ranked number of a task, NaN if undefined.

    Of voxels the mean over cases of the mean DSC over classes or regions; of volumes ROC-AUC, its mean over the classes
    against the rest, or the mean absolute error.
    """
    if not of_voxels(facts.kind):
        return _RANKED[facts.metric](*_said(facts, rows))
    values = [row["dsc"] for row in rows if row["dsc"] is not None]
    return float(np.mean(values)) if values else math.nan


def beside(facts: TaskFacts, rows: list[dict[str, Any]]) -> dict[str, float]:
    """What is shown beside the ranked number, by the names of `METRICS`; empty for kinds with nothing more."""
    if not rows or facts.kind not in ("multi-class", "regression"):
        return {}
    said, labels = _said(facts, rows)
    return accuracies(said, labels) if facts.kind == "multi-class" else explained(said.numpy(), labels.numpy())


_RANKED: dict[str, Callable[[Tensor, Tensor], float]] = {
    "AUC": roc_auc,
    "macro AUC": macro_auc,
    "MAE": mean_absolute_error,
}


def _said(facts: TaskFacts, rows: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """What was said of the volumes of `rows`, and their labels."""
    labels = torch.tensor([row["label"] for row in rows], dtype=torch.float64 if facts.kind == "regression" else None)
    if facts.kind == "multi-class":
        said = [[_float(row["probabilities"][name]) for name in facts.classes] for row in rows]
        return torch.tensor(said), labels
    if facts.kind == "regression":
        return torch.tensor([_float(row["prediction"]) for row in rows], dtype=torch.float64), labels
    return torch.tensor([row["probability"] for row in rows]), labels


class NeverPredicted:
    """Which structures, or classes of volumes, are in the truth of some case and in the prediction of none."""

    def __init__(self, facts: TaskFacts) -> None:
        self.facts = facts
        self._true: set[int] = set()
        self._predicted: set[int] = set()

    def see(self, case: Case, prediction: Tensor) -> None:
        """Count one case with what `predict` says of it; where there are no classes to choose from, nothing."""
        if self.facts.kind == "multi-class":
            assert isinstance(case.label, int)
            self._true.add(case.label)
            self._predicted.add(int(prediction.argmax()))
        elif of_voxels(self.facts.kind):
            predicted, true = scored(self.facts, prediction, np.asarray(case.label))
            self._true |= occurring(self.facts, true)
            self._predicted |= occurring(self.facts, predicted)

    def names(self) -> list[str]:
        """Their names, in the order of the task's classes."""
        missing = self._true - self._predicted
        return [name for index, name in enumerate(self.facts.classes) if index in missing]


def _named(facts: TaskFacts, values: list[float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(facts.classes, values, strict=True)}


def _mean(values: list[float]) -> float | None:
    finite = [value for value in values if not math.isnan(value)]
    return float(np.mean(finite)) if finite else None


def _float(value: float | None) -> float:
    return math.nan if value is None else value


def _number(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None
