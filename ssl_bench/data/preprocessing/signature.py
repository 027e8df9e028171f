"""What a scan looks like from afar: enough to recognise a copy of it that was changed on the way."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_bench.data.preprocessing.blocks import along_axes, averaging

VERSION = 2
"""Raised whenever signatures may change: stored ones of another version are made anew, never compared."""
BLOCKS = 32
"""Along each axis."""
_SAMPLES = 96
"""Voxels that are looked at along each axis, at most."""
_SORTED = 8_000
"""Voxels that quantiles are taken of, about."""
_FILLED = 0.05
"""Share of a scan above which its commonest value is taken for a filling, as around a brain that was cut out."""
_TAIL = 0.002
"""Share of the voxels on either side that may lie beyond the range: metal, hot voxels."""


@dataclass(frozen=True, eq=False)
class Signature:
    """The means of a scan over 32 x 32 x 32 blocks, whatever its size, in the scan's own order of axes."""

    shape: tuple[int, int, int]
    """(D, H, W) of the scan."""
    values: NDArray[np.uint8]
    """(32, 32, 32): 0 is the low and 255 the high end of the range in which nearly all voxels lie."""
    flat: NDArray[np.uint8]
    """(32, 32, 32): how much of each block has a value that the scan was clipped at or filled with; 255 is all."""

    def to_json(self) -> dict[str, Any]:
        """The signature as text, 25 to 50 kB."""
        return {"version": VERSION, "shape": self.shape, "values": _packed(self.values), "flat": _packed(self.flat)}

    @classmethod
    def of(cls, values: Any) -> Signature:
        """A signature as it is, or from what `to_json` gives. Raises ValueError for anything else or older."""
        if isinstance(values, cls):
            return values
        try:
            if values["version"] == VERSION:
                depth, height, width = map(int, values["shape"])
                return cls((depth, height, width), _unpacked(values["values"]), _unpacked(values["flat"]))
        except (TypeError, LookupError, zlib.error) as error:
            raise ValueError(f"no signature: {error}") from error
        raise ValueError("a signature of another version")


def signature(voxels: NDArray[Any]) -> Signature:
    """The signature of a scan (D, H, W) of finite values, before anything is cropped or resampled.

    Of a large scan every so many voxels are looked at; no copy of it is made.
    """
    depth, height, width = voxels.shape
    if max(voxels.shape) > _SAMPLES:
        counts = [(n, min(n, _SAMPLES)) for n in voxels.shape]
        voxels = voxels[np.ix_(*[((np.arange(kept) + 0.5) * n / kept).astype(int) for n, kept in counts])]
    samples = voxels.astype(np.float32)
    low, high, filling = _range(samples)
    flat = (samples <= low) | (samples >= high) | (samples == filling)
    scaled = np.clip((samples - low) / ((high - low) or np.float32(1)), 0, 1)
    means = [averaging(BLOCKS, n) for n in samples.shape]
    values, shares = (np.rint(255 * along_axes(means, each)).astype(np.uint8) for each in (scaled, flat))
    return Signature((depth, height, width), values, shares)


def _range(samples: NDArray[np.float32]) -> tuple[np.float32, np.float32, np.float32]:
    """The low and high end of what is not filled, and the value that fills (NaN without one).

    The ends are quantiles of what is neither the smallest, the largest nor the filling value, since each of these may
    be a padding far away from the rest.
    """
    values = np.sort(samples.ravel()[:: max(1, samples.size // _SORTED)])
    starts = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
    counts = np.diff(starts, append=values.size)
    filling = values[starts[counts.argmax()]] if counts.max() > _FILLED * values.size else np.float32(np.nan)
    low, high = samples.min(), samples.max()
    rest = values[(values != low) & (values != high) & (values != filling)]
    if rest.size > 1:
        ends = rest[int(_TAIL * rest.size)], rest[-1 - int(_TAIL * rest.size)]
        low, high = ends if ends[0] < ends[1] else (low, high)
    return low, high, filling


def _packed(blocks: NDArray[np.uint8]) -> str:
    return base64.b64encode(zlib.compress(blocks.tobytes())).decode()


def _unpacked(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(BLOCKS, BLOCKS, BLOCKS)
