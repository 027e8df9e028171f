"""Scores of test cases: one row a case, one ranked number a task."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.task import TaskFacts
from ssl_bench.metrics.auc import roc_auc
from ssl_bench.metrics.centreline import centreline_dice
from ssl_bench.metrics.dice import dice_per_class
from ssl_bench.metrics.surface import surface_distances
from ssl_bench.spec.record import COUNTS_MISSES

POLICIES = {
    "DSC": "a class absent from truth and prediction is left out (null); absent from one of them it scores 0"
    f"; {COUNTS_MISSES}: it has the volume's diagonal as HD95 (mm), and surface Dice 0",
    "AUC": "undefined (null) where the test cases are all of one class",
}


CENTRELINE_POLICY = "; centreline Dice version 2: a part of a structure that thinning erases keeps a centreline"
"""Version 1 took a part that was erased beside another for absent."""


def policy_of(facts: TaskFacts) -> str:
    """How a task's cases are scored where that is a matter of choice: kept in records."""
    return POLICIES[facts.metric] + (CENTRELINE_POLICY if facts.centreline else "")


def describe(facts: TaskFacts, case: Case, prediction: Tensor, surfaces: bool) -> dict[str, Any]:
    """The row of one case; undefined values are None.

    Segmentation: per-class DSC and its mean, and with `surfaces` HD95 in mm, surface Dice at a tolerance of one voxel
    and, for tubular structures, centreline Dice: recorded, not ranked. Classification: label and probability.
    """
    if facts.kind == "classification":
        return {"case": case.identifier, "label": case.label, "probability": float(prediction)}
    predicted = prediction.cpu().unsqueeze(0)
    # A type that torch compares with any other: uint16 is not.
    truth = torch.from_numpy(np.array(case.label, np.int32)).unsqueeze(0)
    dice = dice_per_class(predicted, truth, len(facts.classes))[0].tolist()
    row: dict[str, Any] = {"case": case.identifier, "dsc": _mean(dice), "dsc_per_class": _named(facts, dice)}
    if surfaces:
        distances = surface_distances(predicted, truth, len(facts.classes), case.spacing_mm, max(case.spacing_mm))
        row["hd95_mm_per_class"] = _named(facts, distances.hd95_mm[0].tolist())
        row["surface_dice_per_class"] = _named(facts, distances.surface_dice[0].tolist())
        if facts.centreline:
            row["centreline_dice"] = _number(float(centreline_dice(predicted, truth, len(facts.classes))[0].nanmean()))
    return row


def score(facts: TaskFacts, rows: list[dict[str, Any]]) -> float:
    """The ranked number of a task: mean over cases of the mean DSC over classes, or ROC-AUC; NaN if undefined."""
    if facts.kind == "classification":
        return roc_auc(*(torch.tensor([row[name] for row in rows]) for name in ("probability", "label")))
    values = [row["dsc"] for row in rows if row["dsc"] is not None]
    return float(np.mean(values)) if values else math.nan


class NeverPredicted:
    """Which structures of a segmentation are in the truth of some case and in the prediction of none."""

    def __init__(self, facts: TaskFacts) -> None:
        self.facts = facts
        self._true: set[int] = set()
        self._predicted: set[int] = set()

    def see(self, case: Case, prediction: Tensor) -> None:
        """Count one case with its `prediction`, class indices (D, H, W); of a classification nothing is counted."""
        if self.facts.kind == "classification":
            return
        for index in range(1, 1 + len(self.facts.classes)):
            if index not in self._true and np.any(case.label == index):
                self._true.add(index)
            if index not in self._predicted and bool((prediction == index).any()):
                self._predicted.add(index)

    def names(self) -> list[str]:
        """Their names, in the order of the task's classes."""
        missing = self._true - self._predicted
        return [name for index, name in enumerate(self.facts.classes, 1) if index in missing]


def _named(facts: TaskFacts, values: list[float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(facts.classes, values, strict=True)}


def _mean(values: list[float]) -> float | None:
    finite = [value for value in values if not math.isnan(value)]
    return float(np.mean(finite)) if finite else None


def _number(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None
