"""The contract of a downstream task: facts, and cases to train and be scored on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from ssl_bench.api.cases import Found
    from ssl_bench.api.recipe import Recipe
    from ssl_bench.api.settings import SplitCounts
    from ssl_bench.data.synthetic.anatomy import Anatomy

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class TaskFacts:
    """What is known about a task without loading a single volume."""

    title: str
    kind: Literal["segmentation", "classification"]
    metric: Literal["DSC", "AUC"]
    classes: tuple[str, ...]
    """Names of the foreground classes; class index 0 is the background (or the negative)."""
    label_values: tuple[int, ...]
    """The data set's own value for each foreground class."""
    modality: Literal["CT", "MR"]
    region: str
    """The part of the body: heart, lungs or brain."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W) of the embedded cohort at detail 1; real data come at 1 mm."""
    field_of_view_mm: tuple[float, float, float]
    """(D, H, W) of the embedded cohort."""
    anatomy: Literal["chest", "brain"]
    """The real anatomy that the embedded cohort grows from."""
    dataset: str
    licence: str
    access: str
    version: int = 1
    """Raised whenever the cases or their labels may change; part of the data's fingerprint."""
    centreline: bool = False
    """Whether centreline Dice is recorded: for tubular structures."""


@dataclass(frozen=True)
class Case:
    """One labelled volume."""

    identifier: str
    image: NDArray[np.float32]
    """(D, H, W) in [0, 1]."""
    label: NDArray[np.uint8] | int
    """Class index per voxel (D, H, W), 0 is background; or the class of the whole volume."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W)."""


class Task(ABC):
    """A downstream task. One file per task; the harness finds it by file name."""

    facts: ClassVar[TaskFacts]
    anatomy_values: ClassVar[tuple[int, ...]]
    """Label values that an anatomy must have for the cohort to grow from it."""
    recipe: ClassVar[Recipe | None] = None
    """How the real data set is preprocessed; None for a task that lives on its embedded cohort alone."""
    split_counts: ClassVar[SplitCounts | None] = None
    """The paper's split of the real data set."""
    label_synonyms: ClassVar[dict[int, int]] = {}
    """Stray label values of the real data set, and the label values they stand for."""
    background_values: ClassVar[tuple[int, ...]] = ()
    """Label values of the real data set that are no class of the task, besides 0."""

    @abstractmethod
    def grow(self, anatomy: Anatomy, split: Split, count: int, detail: float, seed: int) -> list[Case]:
        """The embedded cohort: `count` cases of `split` grown from one real anatomy.

        The voxel spacing is `facts.spacing_mm / detail`. The same arguments give the same bits on the CPU; splits
        share neither seeds nor families of warps, and case i does not depend on `count`.
        """

    def find(self, root: Path) -> Found:
        """The cases of the real data set in the folder `root`, without reading a voxel.

        Raises UserError if there is no such folder or the task has no reader; everything wrong inside the folder is a
        problem of what is found.
        """
        raise UserError(f"{root}: this task has no reader for real data; leave --data-root out")
