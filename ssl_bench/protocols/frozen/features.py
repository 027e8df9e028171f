"""Features of a frozen backbone: computed once, read again at every step and at every validation."""

from __future__ import annotations

import itertools
import mmap
import os
import tempfile
from collections.abc import Callable, Hashable
from typing import IO

import numpy as np
import torch
from torch import Tensor

from ssl_bench.api.protocol import CaseBatches
from ssl_bench.files import cache_root

Features = tuple[Tensor, ...]

MEMORY_LIMIT = 2 * 2**30
"""Bytes of the training windows, and as many of the validation cases, that a cell keeps in memory."""

CHUNK = 256 * 2**20
"""Bytes by which the file grows."""

ALIGNMENT = 64


class FrozenFeatures:
    """What a head reads of fixed, seeded windows of the training cases, kept on the CPU.

    The fixed windows belong to the protocol: a window of whole-volume features is not the features of the window
    (GroupNorm and padding see its borders).
    """

    def __init__(
        self,
        batches: CaseBatches,
        windows_per_volume: int,
        generator: np.random.Generator,
        features: Callable[[Tensor], Features],
    ) -> None:
        """`features` maps volumes (1, C, D, H, W) to tensors (1, ...), one for each input of the head.

        Raises OSError if they need a file and the cache folder has no room for it.
        """
        storage = Storage(MEMORY_LIMIT)
        self.windows: list[Features] = []
        """The inputs of the head for each window, (1, ...) each."""
        self._targets: list[Tensor] = []
        with torch.no_grad():
            for _ in range(1 if batches.whole else windows_per_volume):
                for index in range(len(batches.cases)):
                    volumes, target = batches.read(np.array([index]), generator.random((1, 3)))
                    self.windows.append(tuple(storage.keep(feature) for feature in features(volumes)))
                    self._targets.append(storage.keep(target))

    def draw(self, batch: int, generator: np.random.Generator) -> tuple[Features, Tensor]:
        """A random batch: different windows where there are enough. A batch of one is no copy."""
        count = len(self.windows)
        chosen = generator.choice(count, size=batch, replace=batch > count)
        inputs = zip(*(self.windows[index] for index in chosen), strict=True)
        return tuple(map(_joined, inputs)), _joined(tuple(self._targets[index] for index in chosen))


class RepeatedFeatures:
    """What `compute` gives of volumes that are read again and again in the same windows, computed once.

    Only on the CPU, and only up to the memory's limit; what is more is computed each time, and so it is on other
    devices, which compute as fast as they are sent to. `compute` must not change in between.
    """

    def __init__(self, compute: Callable[[Tensor], Features]) -> None:
        self.compute = compute
        self._room = MEMORY_LIMIT
        self._kept: dict[tuple[Hashable, int], Features] = {}

    def of(self, volume: Hashable) -> Callable[[Tensor], Features]:
        """`compute` for the windows of one reading of `volume`, in the order of the first reading."""
        numbers = itertools.count()

        def features(windows: Tensor) -> Features:
            key = (volume, next(numbers))
            if key in self._kept:
                return self._kept[key]
            computed = self.compute(windows)
            needed = sum(feature.nbytes for feature in computed)
            if windows.device.type == "cpu" and needed <= self._room:
                self._room -= needed
                # A part of a padded volume would keep the whole of it.
                computed = self._kept[key] = tuple(_by_channel(_by_voxel(feature).contiguous()) for feature in computed)
            return computed

        return features


class Storage:
    """Tensors on the CPU, in memory up to a limit and then in a file of the cache folder, mapped into memory.

    The file has no name: a local disk takes it back when the process ends, however it ends.
    """

    def __init__(self, limit: int) -> None:
        """`limit` in bytes."""
        self._room = limit
        self._file: IO[bytes] | None = None
        self._chunk = torch.empty(0, dtype=torch.uint8)
        """The last part of the file, mapped into memory, of which `_free` bytes are not taken yet."""
        self._free = 0

    def keep(self, tensor: Tensor) -> Tensor:
        """The same values, volumes with a voxel's channels side by side; not to be written to.

        Raises OSError if the file is needed and there is no room for it.
        """
        dense = _by_voxel(tensor).cpu().contiguous()
        self._room -= dense.nbytes
        return _by_channel(dense if self._room >= 0 else self._mapped(dense))

    def _mapped(self, tensor: Tensor) -> Tensor:
        content = tensor.flatten().view(torch.uint8)
        folder = cache_root()
        try:
            if self._file is None:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            if len(content) > self._free:
                self._chunk = _grown(self._file, max(len(content), CHUNK))
                self._free = len(self._chunk)
            # Written, not copied through the mapping: a full disk is then an error and does not kill the process.
            self._file.seek(-self._free, os.SEEK_END)
            self._file.write(content.numpy().data)
            self._file.flush()
        except OSError as error:
            needs = f"no room for the features of the frozen backbone ({error.strerror})"
            raise OSError(f"{folder}: {needs}; free some, or name another folder with SSL_BENCH_CACHE") from error
        start = len(self._chunk) - self._free
        # The next begins where any number may.
        self._free = max(0, self._free - len(content) - -len(content) % ALIGNMENT)
        return self._chunk[start : start + len(content)].view(tensor.dtype).view(tensor.shape)


def _grown(file: IO[bytes], size: int) -> Tensor:
    """`file` with `size` bytes more, which are mapped: few mappings, since a process may have few."""
    end = file.seek(0, os.SEEK_END)
    start = end + -end % mmap.ALLOCATIONGRANULARITY
    file.truncate(start + size)
    return torch.frombuffer(mmap.mmap(file.fileno(), size, offset=start), dtype=torch.uint8)


def _by_voxel(tensor: Tensor) -> Tensor:
    """Volumes (B, C, D, H, W) as (B, D, H, W, C), the order in which convolutions leave them; others as they are."""
    return tensor.movedim(1, -1) if tensor.ndim == 5 else tensor


def _by_channel(tensor: Tensor) -> Tensor:
    """`_by_voxel` undone."""
    return tensor.movedim(-1, 1) if tensor.ndim == 5 else tensor


def _joined(tensors: tuple[Tensor, ...]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
