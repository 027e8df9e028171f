"""The kinds of tasks: what has a label, what a network says of it, and by which metric it is ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ssl_bench.api.metric import MetricName

Kind = Literal[
    "segmentation", "sparse segmentation", "region segmentation", "classification", "multi-class", "regression"
]


@dataclass(frozen=True)
class KindFacts:
    """What is true of every task of a kind."""

    question: str
    metric: MetricName
    of_voxels: bool
    """Whether voxels have labels; else the whole volume has one, and a network reads the encoder alone."""
    beside: tuple[str, ...] = ()
    """Other names of `METRICS`, which are shown and do not rank."""


KINDS: Mapping[Kind, KindFacts] = {
    "segmentation": KindFacts("the one class of every voxel", "DSC", of_voxels=True),
    "sparse segmentation": KindFacts("the one class of every voxel; some are to be ignored", "DSC", of_voxels=True),
    "region segmentation": KindFacts(
        "for each region whether a voxel is in it, for regions may overlap; some may be to be ignored",
        "DSC",
        of_voxels=True,
    ),
    "classification": KindFacts("whether a volume is positive", "AUC", of_voxels=False),
    "multi-class": KindFacts(
        "which of several classes a volume is of",
        "macro AUC",
        of_voxels=False,
        beside=("accuracy", "balanced accuracy"),
    ),
    "regression": KindFacts("a number of a volume", "MAE", of_voxels=False, beside=("Pearson r", "R²")),
}


def of_voxels(kind: Kind) -> bool:
    """Whether voxels have labels; else the whole volume has one."""
    return KINDS[kind].of_voxels


def outputs(kind: Kind, classes: int) -> int:
    """How many numbers a network gives for every voxel, or for every volume, of a task with so many `classes`."""
    if kind in ("segmentation", "sparse segmentation"):
        return 1 + classes  # the background too
    return classes if kind in ("region segmentation", "multi-class") else 1


def sized_as(kind: Kind) -> Literal["segmentation", "classification"]:
    """Whose batches and cohorts are meant: windows of voxels, or whole volumes."""
    return "segmentation" if of_voxels(kind) else "classification"
