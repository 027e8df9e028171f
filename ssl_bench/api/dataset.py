"""The contract of a real data set: what is known about it, and how its cases are found in a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.settings import SplitCounts

if TYPE_CHECKING:
    from pathlib import Path

    from ssl_bench.api.cases import Found


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """A real data set that answers a task's question."""

    title: str
    licence: str
    access: str
    """Where it can be had, and how."""
    preprocessing: Preprocessing
    """How its scans become what the network sees; the user may change each field."""
    split_counts: SplitCounts
    """Cases in each split, or their proportion where there are more or fewer cases."""
    label_values: tuple[int, ...] = ()
    """The value of each foreground class in label files; empty where a whole volume has one class."""
    label_synonyms: Mapping[int, int] = field(default_factory=dict)
    """Stray label values, and the label values they stand for."""
    background_values: tuple[int, ...] = ()
    """Label values that are no class of the task, besides 0."""
    label_regions: tuple[tuple[int, ...], ...] = ()
    """Of a region segmentation: the label values of each region."""
    value_names: Mapping[int, str] = field(default_factory=dict)
    """What the data set itself calls its label values, where files may call them too."""
    ignored_value: int | None = None
    """The label value of voxels that enter neither loss nor score; None where all do."""

    def at(self, root: Path) -> Dataset:
        """The data set as it lies in the folder `root`, for one that comes in several formats.

        Raises UserError where the folder says of itself that it holds something else.
        """
        return self

    def split_file(self, root: Path) -> Path | None:
        """A file beside the data in the folder `root` that says how they are split, if there is one."""
        return None

    @abstractmethod
    def find(self, root: Path) -> Found:
        """The cases in the folder `root`, without reading a voxel.

        Raises UserError if there is no such folder; everything wrong inside it is a problem of what is found.
        """
