"""Cutting windows out of volumes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.cases import Case, Voxels
from ssl_bench.api.method import Windows
from ssl_bench.data.preprocessing.stored import read_into
from ssl_bench.nn.transfer import moved

REFRESH_BATCH = 8


def cut(volume: Voxels, position: NDArray[np.float64], crop: int) -> NDArray[np.generic]:
    """The window of side `crop` at `position` of a volume (..., D, H, W); see `first_voxel` and `padded`."""
    start = first_voxel(volume.shape[-3:], position, crop)
    window: tuple[Any, ...] = (..., *(slice(first, first + crop) for first in start))
    return padded(volume[window], (crop, crop, crop))


def cut_all(
    volumes: Sequence[Voxels], positions: Iterable[NDArray[np.float64]], crop: int, dtype: type[np.generic]
) -> NDArray[Any]:
    """(B, ..., D, H, W): what `cut` gives for every volume, as `dtype`, each voxel written once."""
    found = np.empty((len(volumes), *volumes[0].shape[:-3], crop, crop, crop), dtype)
    for volume, position, out in zip(volumes, positions, found, strict=True):
        start = first_voxel(volume.shape[-3:], position, crop)
        window, place = [], []
        for first, size in zip(start.tolist(), volume.shape[-3:], strict=True):
            before = max(0, crop - size) // 2
            window.append(slice(first, first + crop))
            place.append(slice(before, before + min(crop, size)))
        if min(volume.shape[-3:]) < crop:
            out[...] = 0
        read_into(volume, (..., *window), out[(..., *place)])
    return found


def first_voxel(shape: Sequence[int], position: NDArray[np.float64], crop: int) -> NDArray[np.int64]:
    """(3,): where the window of side `crop` at `position` of a volume of `shape` (D, H, W) begins.

    `position` holds, per axis, 0 for the first and 1 for the last place at which the window fits. A uniform position
    finds each place equally often, the first and the last among them.
    """
    room = np.maximum(np.array(shape) - crop, 0)
    start: NDArray[np.int64] = np.minimum(position * (room + 1), room).astype(np.int64)
    return start


def padded(volume: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """A volume (..., D, H, W) in the middle of zeros up to `shape`, as inference pads: background, for a label."""
    missing = [max(0, side - size) for side, size in zip(shape, volume.shape[-3:], strict=True)]
    around = [(more // 2, more - more // 2) for more in missing]
    return np.pad(volume, [(0, 0)] * (volume.ndim - 3) + around)


class Corpus:
    """Unlabelled volumes on disk; windows of side `crop` come out on `device`."""

    def __init__(self, volumes: Sequence[Voxels], crop: int, device: torch.device | str) -> None:
        """`volumes` are (D, H, W) each, or (C, D, H, W), of one shape or of many."""
        self.volumes = volumes
        self.crop = crop
        self.device = device

    def __len__(self) -> int:
        return len(self.volumes)

    def of_side(self, crop: int) -> Corpus:
        """The same volumes, from which windows of side `crop` come."""
        return Corpus(self.volumes, crop, self.device)

    def first_voxels(self, windows: Windows) -> NDArray[np.int64]:
        """(B, 3): where those windows begin."""
        pairs = zip(windows.volumes, windows.positions, strict=True)
        return np.stack([first_voxel(self.volumes[index].shape[-3:], position, self.crop) for index, position in pairs])

    def read(self, windows: Windows) -> Tensor:
        """Those windows, (B, C, D, H, W)."""
        volumes = [self.volumes[index] for index in windows.volumes]
        images = cut_all(volumes, windows.positions, self.crop, np.float32)
        return moved(_volumes(images), torch.device(self.device))

    def batches(self, windows: Windows) -> Iterator[Tensor]:
        """Those windows in order, a few at a time."""
        for start in range(0, len(windows.volumes), REFRESH_BATCH):
            part = slice(start, start + REFRESH_BATCH)
            yield self.read(Windows(windows.volumes[part], windows.positions[part]))


class CaseBatches:
    """Batches of labelled windows, on the CPU.

    Segmentation reads windows of side `crop`. Classification reads whole volumes, since what decides may lie anywhere
    in them, each in the middle of zeros up to the largest of the batch.
    """

    def __init__(self, cases: Sequence[Case], crop: int) -> None:
        self.cases = cases
        self.crop = crop

    @property
    def whole(self) -> bool:
        """Whether a case is read whole, so that it has one window only."""
        return isinstance(self.cases[0].label, int | float)

    def read(self, indices: NDArray[np.int64], positions: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Volumes (B, C, D, H, W) and targets: class indices (B, D, H, W), or 0 and 1 as floats (B,)."""
        chosen = [self.cases[index] for index in indices]
        if not self.whole:
            images = cut_all([case.image for case in chosen], positions, self.crop, np.float32)
            masks = [case.label for case in chosen if not isinstance(case.label, int | float)]
            return _volumes(images), torch.from_numpy(cut_all(masks, positions, self.crop, np.int64))
        shape = np.max([case.size for case in chosen], axis=0)
        images = np.stack([padded(np.asarray(case.image), shape) for case in chosen])
        numbers = [case.label for case in chosen if isinstance(case.label, int | float)]
        return _volumes(images), torch.tensor([float(number) for number in numbers])

    def draw(self, batch: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A random batch: different cases where there are enough, each window anywhere in its volume."""
        indices = generator.choice(len(self.cases), size=batch, replace=batch > len(self.cases))
        return self.read(indices, generator.random((batch, 3)))


def _volumes(images: NDArray[np.generic]) -> Tensor:
    """(B, D, H, W) of one channel, or (B, C, D, H, W) -> (B, C, D, H, W)."""
    volumes = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))
    return volumes.unsqueeze(1) if volumes.ndim == 4 else volumes
