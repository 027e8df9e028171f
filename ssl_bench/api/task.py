"""The contract of a downstream task: the question alone, and the names of where its cases may come from."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import ClassVar, Literal

from ssl_bench.api.dataset import Dataset
from ssl_bench.api.generator import Generator
from ssl_bench.api.kinds import Kind
from ssl_bench.api.metric import MetricName
from ssl_bench.errors import UserError


@dataclass(frozen=True)
class TaskFacts:
    """The question that a task asks."""

    title: str
    kind: Kind
    metric: MetricName
    """That of `KINDS`."""
    classes: tuple[str, ...]
    """Names of the foreground classes of voxels, class index 0 being the background; of the regions; of the positive
    class; or of all classes of a volume, the first with index 0. A regression has none."""
    modality: Literal["CT", "MR"]
    region: str
    """The part of the body: heart, lungs or brain."""
    version: int = 1
    """Raised whenever generated cases or their labels may change; part of the data's fingerprint."""
    centreline: bool = False
    """Whether centreline Dice is recorded: for tubular structures."""
    region_codes: tuple[int, ...] = ()
    """Of a region segmentation, for each region in the order in which they are painted: the label (see `Case`) that a
    voxel predicted to be in it gets, over what it got before."""


class Task:
    """A downstream task. One file per task; the harness finds it by file name."""

    facts: ClassVar[TaskFacts]
    dataset: ClassVar[Dataset | None] = None
    """The real data set; None for a task that has generated cases alone."""
    generator: ClassVar[type[Generator] | None] = None
    """Grows the embedded cohort; None for a task on real cases alone."""

    @classmethod
    def check_declarations(cls) -> None:
        """Raise UserError, which the caller begins with the plugin's name, unless cases can come from somewhere."""
        dataset, generator = cls.dataset, cls.generator
        if dataset is None and generator is None:
            raise UserError(f"has no cases; give {cls.__name__} a dataset, a generator, or both")
        if not isinstance(dataset, Dataset | None):
            raise UserError(f"declares a dataset that is no Dataset, {dataset!r}; make it one")
        grows = inspect.isclass(generator) and issubclass(generator, Generator) and not inspect.isabstract(generator)
        if generator is not None and not grows:
            raise UserError(f"declares a generator that is no complete Generator class, {generator!r}; make it one")
