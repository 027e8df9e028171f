"""A case on its two ends: the files that a reader finds in a folder, and the arrays that the network sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
IGNORED = 65535
"""What voxels hold that enter neither loss nor score."""


@dataclass(frozen=True)
class SourceCase:
    """One case as it lies on disk."""

    identifier: str
    """Unique in the data set; letters, digits, ``.``, ``_`` and ``-`` only."""
    image: Path
    """A file, or the folder of a DICOM series; of several channels, of the first that is there."""
    label: Path | int | float
    """A file of label values on the image's grid; or the class of the whole volume, or as a float its number."""
    patient: str
    """Cases of one patient never part."""
    split: str | None = None
    """The split that the data set itself fixes, if it does."""
    patient_is_known: bool = True
    """False where nothing says who was scanned: `patient` is the case's own name then."""
    drawn_as: str = ""
    """What draws its place in a split while its patient has no other case; empty for `patient`. So a split of one scan
    each stays what it was when it becomes known who was scanned."""
    may_be_label_map: bool = False
    """Whether nothing but its voxels tells whether `image` is a scan."""
    channels: tuple[Path | None, ...] = ()
    """The files of several channels in order, None for one that is missing; empty for one channel, which is `image`."""

    @property
    def images(self) -> tuple[Path | None, ...]:
        """The file of every channel, None for one that is missing."""
        return self.channels or (self.image,)


class Voxels(Protocol):
    """An array, or a volume on disk that reads as one: windows by slices, all of it by ``np.asarray``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(D, H, W), or (C, D, H, W) of several channels."""

    @property
    def ndim(self) -> int:
        """How many axes."""

    def __getitem__(self, window: Any, /) -> NDArray[Any]:
        """A window."""

    def __array__(self) -> NDArray[Any]:
        """All of it."""


@dataclass(frozen=True, eq=False)
class Case:
    """One volume as the network sees it. Volumes do not compare: a case is equal to itself alone."""

    identifier: str
    image: Voxels
    """(D, H, W) in [0, 1], float32; (C, D, H, W) of several channels."""
    label: Voxels | int | float
    """Class index per voxel (D, H, W), 0 is background; or the class of the whole volume, 0 without labels; or, as a
    float, its number. Of a region segmentation a voxel has bit r set where it is in region r. Of that and of a sparse
    segmentation voxels to ignore hold `IGNORED`."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W)."""

    @property
    def channels(self) -> NDArray[np.float32]:
        """The image as (C, D, H, W), also of one channel: a view of an array, or all of what is on disk."""
        import numpy as np

        image: NDArray[np.float32] = np.asarray(self.image)
        return image if image.ndim == 4 else image[None]

    @property
    def size(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        depth, height, width = self.image.shape[-3:]
        return depth, height, width


@dataclass(frozen=True)
class Problem:
    """Something in a data set that cannot be used as it is."""

    path: Path
    """The file or folder it is about."""
    reason: str
    """What is wrong and what to do about it, in one line, without the path."""
    is_label_map: bool = False
    """Whether the file was taken for a label map among scans, which stops nothing; `reason` says why."""


@dataclass(frozen=True)
class Doubt:
    """Something about a case that may be meant, and probably is not."""

    what: str
    """In words that are the same for every case it befalls."""
    figures: str
    """This case's."""
    way_out: str
    """The options that mend it, as ``--set data.TASK.FIELD=VALUE``."""

    def __str__(self) -> str:
        return f"{self.what} ({self.figures}); {self.way_out}"


class Found(NamedTuple):
    """What a folder holds."""

    cases: list[SourceCase]
    """The cases in the order of their identifiers, numbers counted as numbers."""
    problems: list[Problem]
    label_maps: Sequence[Problem] = ()
    """Files of a corpus that were taken for label maps by their names."""
