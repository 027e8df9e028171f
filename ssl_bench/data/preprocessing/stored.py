"""Volumes on disk in few bytes, read a window at a time.

An image is kept in whole levels of 8 or 16 bits. What the source file held in whole numbers comes back to the bit where
nothing was resampled; any other image comes back to half a level, of which there are `LEVELS` or more over its range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_bench.api.cases import Voxels
from ssl_bench.errors import UserError

LEVELS = 4096
"""Half a level is an 8192nd of the range: a quarter HU in the CT recipe."""
_HIGHEST = 2**16 - 1
"""The highest level that 16 bits hold."""
_CHUNK, _BLOCK = (64, 64, 64), (16, 32, 32)
"""(D, H, W) in voxels of what is compressed together, and within it of what is decompressed together."""
DAMAGED = "damaged; run the same command again, which prepares it anew"
"""What is said of a case whose files are not what was written."""


class Scale(NamedTuple):
    """What the levels of one channel mean: level / `per_unit` + `low`, in float32."""

    per_unit: float
    low: float = 0.0

    @classmethod
    def over(cls, image: NDArray[np.float32], whole: float | None) -> Scale:
        """That of an image (D, H, W).

        `whole` is how many steps of its source file make up 1, None where its values are no such steps.
        """
        low, high = float(image.min()), float(image.max())
        if whole:
            exact = cls(whole, _below(low, high, whole))
            if (high - exact.low) * whole <= _HIGHEST and np.array_equal(exact.decoded(exact.levels(image)), image):
                return exact
        finest = LEVELS / ((high - low) or 1.0)
        # A whole number of levels, so that 0 and 1 are among them.
        per_unit = ceil(finest) if finest > 1 else float(np.float32(finest))
        return cls(per_unit, _below(low, high, per_unit))

    def levels(self, image: NDArray[np.float32]) -> NDArray[np.uint16]:
        """The nearest level of every voxel."""
        shifted = image - np.float32(self.low) if self.low else image
        nearest = np.rint(shifted * np.float32(self.per_unit))
        # In a very narrow range float32 may round `low` up to above the lowest value.
        levels: NDArray[np.uint16] = nearest.clip(0, _HIGHEST).astype(np.uint16)
        return levels

    def decoded(self, levels: NDArray[Any], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """The voxels of `levels`, of any shape, into `out` where one is given."""
        if out is None:
            out = np.empty(levels.shape, np.float32)
        np.copyto(out, levels)
        out /= np.float32(self.per_unit)
        if self.low:
            out += np.float32(self.low)
        return out


def _below(low: float, high: float, per_unit: float) -> float:
    """Where the levels begin: at 0 if 16 bits reach from there to `high`, else at the last level below `low`."""
    if low >= 0 and high * per_unit <= _HIGHEST:
        return 0.0
    return float(np.float32(floor(low * per_unit)) / np.float32(per_unit))


def in_levels(
    image: NDArray[np.float32], whole: Sequence[float | None]
) -> tuple[NDArray[np.uint8 | np.uint16], tuple[Scale, ...]]:
    """An image (D, H, W) or (C, D, H, W) in levels, 8 bits where those suffice; see `Scale.over` for each channel."""
    channels = image if image.ndim == 4 else image[None]
    scales = tuple(Scale.over(channel, steps) for channel, steps in zip(channels, whole, strict=True))
    levels = np.stack([scale.levels(channel) for scale, channel in zip(scales, channels, strict=True)])
    kept = levels if image.ndim == 4 else levels[0]
    return (kept.astype(np.uint8) if kept.max() <= 255 else kept), scales


@dataclass(frozen=True, eq=False)
class Stored:
    """A volume on disk, which looks like an array where windows are cut: only what they need is read."""

    folder: Path
    levels: Any
    """A memory map, or what `unpacked` gives."""
    scales: tuple[Scale, ...] = ()
    """Of every channel; empty where the levels are the values, as of a label."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(D, H, W), or (C, D, H, W) of several channels."""
        return tuple(self.levels.shape)

    @property
    def ndim(self) -> int:
        """3, or 4 with channels."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""
        return np.dtype(np.float32) if self.scales else np.dtype(self.levels.dtype)

    def __getitem__(self, window: Any) -> NDArray[Any]:
        """A window: slices of (D, H, W), after an ellipsis. Anything else is taken out of the whole volume.

        Raises UserError for a damaged file.
        """
        if not self._is_window(window):
            whole: NDArray[Any] = np.asarray(self)
            part: NDArray[Any] = whole[window]
            return part
        levels = self._read(window)
        if not self.scales:
            return levels
        found = np.empty(levels.shape, np.float32)
        self._decode(levels, found)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The whole volume."""
        whole = self[..., :, :, :]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def read(self, window: Any, out: NDArray[Any]) -> None:
        """Write a window into `out`, of the window's shape."""
        levels = self._read(window)
        if self.scales:
            self._decode(levels, out)
        else:
            np.copyto(out, levels)

    def _is_window(self, key: Any) -> bool:
        parts = key if isinstance(key, tuple) else (key,)
        if parts[0] is Ellipsis:
            parts = parts[1:]
        elif self.ndim == 4:
            return False
        return len(parts) == 3 and all(isinstance(part, slice) and part.step is None for part in parts)

    def _decode(self, levels: NDArray[Any], out: NDArray[np.float32]) -> None:
        channels = zip(levels, out, strict=True) if self.ndim == 4 else [(levels, out)]
        for scale, (these, into) in zip(self.scales, channels, strict=True):
            scale.decoded(these, into)

    def _read(self, window: Any) -> NDArray[Any]:
        try:
            found: NDArray[Any] = self.levels[window]
        except RuntimeError as error:
            raise UserError(f"{self.folder}: {DAMAGED}") from error
        return found


def read_into(volume: Voxels, window: Any, out: NDArray[Any]) -> None:
    """Write a window of any volume into `out`, converted to its type."""
    if isinstance(volume, Stored):
        volume.read(window, out)
    else:
        np.copyto(out, volume[window])


def packed(volume: NDArray[Any]) -> bytes:
    """A volume of whole numbers (..., D, H, W), compressed in blocks of which windows decompress those they touch."""
    from blosc2 import Codec, Filter

    if volume.itemsize == 1:
        return bytes(_compressed(volume, Codec.LZ4HC, 9, Filter.NOFILTER).to_cframe())
    found = _compressed(volume, Codec.LZ4, 5, Filter.NOFILTER)
    if 2 * found.schunk.cbytes > volume.nbytes:
        # Bytes in the order of their weight take less room and more time; half is enough where it is had without.
        found = _compressed(volume, Codec.LZ4HC, 5, Filter.SHUFFLE)
    return bytes(found.to_cframe())


def _compressed(volume: NDArray[Any], codec: Any, level: int, how: Any) -> Any:
    import blosc2

    alone = (1,) * (volume.ndim - 3)
    return blosc2.asarray(
        np.ascontiguousarray(volume),
        chunks=(*alone, *_CHUNK),
        blocks=(*alone, *_BLOCK),
        cparams={"codec": codec, "clevel": level, "filters": [how], "nthreads": 1},
    )


def unpacked(path: Path) -> Any:
    """What `packed` gave, in a file: an array that decompresses the windows that are taken out of it.

    Raises ValueError for a file that is anything else, or shorter or longer. It keeps no file open.
    """
    import blosc2

    try:
        return blosc2.ndarray_from_cframe(np.memmap(path, np.uint8, "r"))
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from error
