"""Telling label maps from scans by what they hold, for folders where nothing else tells them apart.

A label map is 0 where nothing is labelled, and elsewhere it is made of pieces of one value: two neighbours outside the
background are mostly equal. In a scan they hardly ever are, for noise and contrast change every voxel; even
an 8-bit T1 with an empty background has 3 % of equal neighbours, one of 16 grey levels 40 %. Parts where a scan is cut
off (air, bone in a narrow CT window) are pieces of one value too, so every value is also judged by itself.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_bench.data.layouts.label_names import EMPTY
from ssl_bench.errors import UserError
from ssl_bench.files import atomic_write, cache_root

MIN_BACKGROUND = 0.02
"""From this part of its voxels on that is 0, 0 is taken for the background: little in a crop of a brain."""
MAX_VALUES = 1024
"""The most different values of a label map: fine parcellations of the brain have several hundred."""
MIN_EQUAL = 0.6
"""The least part of equal neighbours outside the background, over all voxels and for the median value. Measured: labels
of 28 brain structures at 3 or 4 mm have 0.75 and 0.66, T1 and cine MR of 16 grey levels at most 0.75 and 0.54."""
MIN_EQUAL_EVERYWHERE = 0.8
"""The same where there is no background, over all voxels."""
SAMPLE = 200_000
"""Voxels that are looked at."""
_VERSION = 1
"""Raised whenever other files may be taken for label maps."""


class LabelMapError(UserError):
    """What was read as a scan is a label map; the message says why, without the file."""


def label_map_reason(voxels: NDArray[Any]) -> str:
    """Why a volume (D, H, W) is a label map, in words; empty if it is a scan."""
    labelled = np.count_nonzero(voxels)
    if labelled == 0:
        return EMPTY
    background = 1 - labelled / voxels.size
    has_background = background >= MIN_BACKGROUND
    if background < 0.5 and voxels.min() < 0:  # CT: 0 is water
        return ""
    least = MIN_EQUAL if has_background else MIN_EQUAL_EVERYWHERE
    box = voxels[_extent(voxels)] if has_background else voxels
    planes = box[:: -(-box.size // SAMPLE)]
    pairs = [(planes[:, 1:], planes[:, :-1]), (planes[:, :, 1:], planes[:, :, :-1])]
    first, second = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    if has_background:
        outside = (first != 0) & (second != 0)
        first, second = first[outside], second[outside]
    if np.count_nonzero(first == second) < least * first.size:
        return ""
    values = np.unique(planes)
    if values.size > MAX_VALUES or _median_equal(first, second) < least:
        return ""
    if not has_background:
        return f"all of it pieces of {values.size} values" if values.size > 1 else ""
    count = np.count_nonzero(values)
    pieces = "pieces of one value" if count == 1 else f"pieces of {count} values"
    return f"{100 * background:.3g} % of its voxels are 0 and the others {pieces}"


def judged(digest: str) -> str | None:
    """What `remember` was told of the file with this digest: a reason, or empty for a scan; None if nothing."""
    try:
        return _entry(digest).read_text("utf-8")
    except (OSError, ValueError):
        return None


def remember(digest: str, reason: str) -> None:
    """Keep why the file with this digest is a label map, or empty for a scan, so that nobody need read it again."""
    with suppress(OSError, UserError), atomic_write(_entry(digest)) as temporary:
        temporary.write_text(reason, "utf-8")


def _extent(voxels: NDArray[Any]) -> tuple[slice, ...]:
    """The smallest box that holds all voxels other than 0."""
    box = []
    for axis in range(3):
        filled = np.flatnonzero(voxels.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(filled[0], filled[-1] + 1))
    return tuple(box)


def _median_equal(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Over the values: the median part of a value's neighbours that share it; 1 where no voxel has a neighbour."""
    values, numbers = np.unique(np.concatenate([first, second]), return_inverse=True)
    if not values.size:
        return 1.0
    neighbours = np.bincount(numbers, minlength=values.size)
    equal = 2 * np.bincount(numbers[: first.size][first == second], minlength=values.size)
    return float(np.median(equal / neighbours))


def _entry(digest: str) -> Path:
    name = hashlib.sha256(f"{_VERSION} {digest}".encode()).hexdigest()[:32]
    return cache_root() / "label-maps" / f"{name}.txt"
