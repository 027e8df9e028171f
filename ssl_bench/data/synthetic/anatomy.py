"""One real anatomy: an image, its labels, and fields derived from them on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ssl_bench.data.io.formats import read_volume
from ssl_bench.data.preprocessing.labels import require_same_grid
from ssl_bench.errors import UserError

Triple = tuple[float, float, float]
T = TypeVar("T")

_SHIPPED = {"chest": ("chest_ct.nii.gz", "heart_labels.nii.gz"), "brain": ("brain_t1.nii.gz", "brain_labels.nii.gz")}
_LABEL_LIMIT = 2**15


@dataclass(frozen=True, eq=False)
class Anatomy:
    """An image with labels on one grid, axes (z, y, x) = (superior, anterior, right); treat it as read-only."""

    name: str
    image: Tensor
    """(D, H, W), float32, HU for CT or arbitrary T1 units."""
    labels: Tensor
    """(D, H, W), int16, the data set's own values, 0 is background."""
    spacing_mm: Triple
    _derived: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def from_files(cls, image: Path | str, labels: Path | str, name: str | None = None) -> Anatomy:
        """Read two files on the same grid, in any format and orientation that `read_volume` reads."""
        scan, marks = read_volume(Path(image)), read_volume(Path(labels))
        require_same_grid(scan, marks, Path(image), Path(labels))
        values = marks.voxels
        if not values.any() or values.min() < 0 or values.max() >= _LABEL_LIMIT or (values != np.round(values)).any():
            raise UserError(f"{labels}: labels must be whole numbers from 0 to {_LABEL_LIMIT - 1}, not all 0")
        return cls(
            name or Path(image).name.split(".")[0],
            torch.from_numpy(scan.voxels.astype(np.float32)),
            torch.from_numpy(values.astype(np.int16)),
            scan.spacing_mm,
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of image, labels and spacing: the identity of the data, whatever the files are called."""
        return self.derive("fingerprint", self._hash)

    @property
    def centre_mm(self) -> Triple:
        """Middle of the labelled region's bounding box."""
        return self.derive("centre", lambda: self._box_centre(self.labels > 0))

    def require(self, values: Sequence[int]) -> None:
        """Raise a UserError if any of the label values is missing."""
        present: NDArray[np.int16] = self.derive("values", lambda: np.unique(self.labels.numpy()))
        missing = sorted(set(values) - set(present.tolist()))
        if missing:
            raise UserError(f"anatomy {self.name}: label values {missing} are missing; add them to the labels file")

    def mask(self, values: Sequence[int]) -> Tensor:
        """(D, H, W), bool: where the label is one of `values`."""
        return torch.isin(self.labels, torch.tensor(values, dtype=torch.int16))

    def points_in(self, values: Sequence[int]) -> Tensor:
        """(N, 3), mm: the voxels with one of these labels; draw lesion centres from them."""
        return self.derive(("points", *values), lambda: self.voxel_points(self.mask(values)))

    def voxel_points(self, mask: Tensor) -> Tensor:
        """(N, 3), mm: the coordinates of the voxels of a (D, H, W) mask."""
        return mask.nonzero() * torch.tensor(self.spacing_mm)

    def distance(self, values: Sequence[int], reach_mm: float = 30.0) -> Tensor:
        """(D, H, W), mm: signed distance to the structure, negative inside, clamped at `reach_mm` outside."""
        return self.derive(("distance", *values, reach_mm), lambda: self.distance_to(self.mask(values), reach_mm))

    def distance_to(self, mask: Tensor, reach_mm: float = 30.0) -> Tensor:
        """(D, H, W), mm: signed distance to any (D, H, W) mask, negative inside; not cached, see `derive`."""
        # Only the neighbourhood of the structure is transformed: a heart is a tenth of a chest.
        inside = mask.numpy()
        box = tuple(
            slice(max(0, int(index.min() - reach_mm / step)), int(index.max() + reach_mm / step) + 2)
            for index, step in zip(inside.nonzero(), self.spacing_mm, strict=True)
        )
        outer = ndimage.distance_transform_edt(~inside[box], self.spacing_mm)
        inner = ndimage.distance_transform_edt(inside[box], self.spacing_mm)
        distance = torch.full(mask.shape, reach_mm)
        distance[box] = torch.from_numpy((outer - inner).clip(max=reach_mm)).float()
        return distance

    def derive(self, key: object, build: Callable[[], T]) -> T:
        """A field derived from this anatomy, built once per process and kept under `key`."""
        if key not in self._derived:
            self._derived[key] = build()
        found: T = self._derived[key]
        return found

    def _box_centre(self, mask: Tensor) -> Triple:
        found = mask.nonzero()
        middle = (found.amin(0) + found.amax(0)) / 2
        z, y, x = (middle * torch.tensor(self.spacing_mm)).tolist()
        return z, y, x

    def _hash(self) -> str:
        digest = hashlib.sha256(repr((tuple(self.image.shape), self.spacing_mm)).encode())
        for volume in (self.image, self.labels):
            digest.update(np.ascontiguousarray(volume.numpy()).tobytes())
        return digest.hexdigest()


@lru_cache(maxsize=2)
def load_anatomy(name: Literal["chest", "brain"]) -> Anatomy:
    """The shipped chest CT (HU, heart labels) or T1 head (brain labels); read once per process."""
    image, labels = _SHIPPED[name]
    folder = resources.files("ssl_bench.data.synthetic.anatomies")
    with resources.as_file(folder / image) as image_file, resources.as_file(folder / labels) as label_file:
        return Anatomy.from_files(image_file, label_file, name)
