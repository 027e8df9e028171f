"""What the labels of voxels say: which structures a voxel is in, and which voxels are to be ignored."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.cases import IGNORED
from ssl_bench.api.task import TaskFacts


def scored(facts: TaskFacts, prediction: Tensor, truth: NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Prediction and truth (D, H, W) as labels that torch compares, both background where the truth is ignored."""
    predicted, true = prediction.cpu(), torch.from_numpy(np.array(truth, np.int32))
    if facts.kind == "segmentation":
        return predicted, true
    ignored = true == IGNORED
    return predicted.masked_fill(ignored, 0), true.masked_fill(ignored, 0)


def layers(facts: TaskFacts, labels: Tensor) -> list[tuple[Tensor, int]]:
    """Label maps (1, D, H, W) that hold each structure once, with the number of their classes.

    One map of all classes; of regions, which may overlap, a map of one class for each.
    """
    if facts.kind != "region segmentation":
        return [(labels.unsqueeze(0), len(facts.classes))]
    return [((labels >> region & 1).to(torch.uint8).unsqueeze(0), 1) for region in range(len(facts.classes))]


def occurring(facts: TaskFacts, labels: Tensor) -> set[int]:
    """The places in `facts.classes` of the structures that `labels` (D, H, W) hold."""
    found: list[int] = torch.bincount(labels.flatten().long()).nonzero().flatten().tolist()
    if facts.kind != "region segmentation":
        return {value - 1 for value in found if value}
    return {region for region in range(len(facts.classes)) if any(value >> region & 1 for value in found)}


def drawn(facts: TaskFacts, labels: NDArray[Any]) -> NDArray[Any]:
    """`labels` as one class a voxel, for pictures: of regions the last that it is in; nothing where it is ignored."""
    if facts.kind == "segmentation":
        return labels
    known = np.where(labels == IGNORED, 0, labels)
    if facts.kind == "sparse segmentation":
        return known
    return np.frexp(known.astype(np.float64))[1].astype(np.uint8)  # the place of the highest bit, from 1
