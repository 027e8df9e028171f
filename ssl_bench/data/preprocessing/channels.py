"""The channels of a scan: read, found on one grid, and each normalised by its own recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_bench.api.cases import Doubt, SourceCase
from ssl_bench.api.preprocessing import Intensity, Preprocessing
from ssl_bench.data.io.formats import read_volume
from ssl_bench.data.io.volume import Volume
from ssl_bench.data.preprocessing.contrast import Contrast, Values
from ssl_bench.data.preprocessing.label_maps import LabelMapError, label_map_reason
from ssl_bench.data.preprocessing.labels import require_same_grid
from ssl_bench.data.preprocessing.signature import Signature, signature
from ssl_bench.errors import UserError

_INTENSITY = re.compile(r"--set data\.TASK\.intensity=(\w+)")
MISSING = "--set data.TASK.missing_channels=zero"


class Channel(NamedTuple):
    """One channel of a case that is there."""

    number: int
    """Its place among all channels, from 0 on."""
    name: str
    """Empty where there is one channel."""
    path: Path
    scan: Volume
    values: Values
    outline: Signature


@dataclass(frozen=True, eq=False)
class ChannelReport:
    """What was noticed of one channel. Values and signature are those of the whole scan."""

    name: str
    """Empty where there is one channel."""
    intensity: Intensity
    """Its recipe."""
    value_range: tuple[float, float]
    contrast: Contrast
    """Of the prepared image, before what lies outside the lungs is 0."""
    signature: Signature


def read_channels(case: SourceCase, preprocessing: Preprocessing) -> list[Channel]:
    """The channels of a case that are there, all on one grid.

    Raises UserError that names the file: for one that cannot be read, another grid, voxels of an odd size or all of one
    value, and a missing channel unless it may be 0; `LabelMapError` for a label map among scans.
    """
    _require_all(case, preprocessing)
    names = preprocessing.channels or ("",)
    channels: list[Channel] = []
    for index, (name, path) in enumerate(zip(names, case.images, strict=True)):
        if path is None:
            continue
        scan = read_volume(path)
        if case.may_be_label_map and not channels and (reason := label_map_reason(scan.voxels)):
            raise LabelMapError(reason)
        _require_plausible(scan, path, preprocessing.voxel_mm)
        if channels:
            require_same_grid(channels[0].scan, scan, channels[0].path, path, what="channel")
        values = Values.of(scan.voxels)
        if values.low == values.high:
            raise UserError(f"{path}: every voxel is {values.low:g}; replace the file or leave the case out")
        channels.append(Channel(index, name, path, scan, values, signature(scan.voxels)))
    return channels


def doubts_about(case: SourceCase, preprocessing: Preprocessing, channels: Sequence[Channel]) -> tuple[Doubt, ...]:
    """Channels that are missing and filled with 0, and two that hold the same."""
    found = []
    if absent := _missing(case, preprocessing):
        what = f"channel {', '.join(absent)} is missing and 0 everywhere"
        found.append(Doubt(what, f"{len(absent)} of {len(case.images)} channels", "add the files where there are any"))
    for one, other in combinations(channels, 2):
        if np.array_equal(one.scan.voxels, other.scan.voxels):
            what = f"channels {one.name} and {other.name} are the same, voxel by voxel"
            found.append(Doubt(what, other.path.name, "correct the files unless that is meant"))
    return tuple(found)


def of_one(doubt: Doubt, channel: Channel, preprocessing: Preprocessing) -> Doubt:
    """A doubt about one of several channels: it says which, and the option that mends it changes that one alone."""
    if not channel.name:
        return doubt

    def for_all(match: re.Match[str]) -> str:
        recipes: list[str] = [*preprocessing.intensities]
        recipes[channel.number] = match[1]
        return f"--set 'data.TASK.intensity={json.dumps(recipes)}'"

    return replace(doubt, what=f"channel {channel.name}: {doubt.what}", way_out=_INTENSITY.sub(for_all, doubt.way_out))


def _missing(case: SourceCase, preprocessing: Preprocessing) -> list[str]:
    return [name for name, path in zip(preprocessing.channels, case.channels, strict=True) if path is None]


def _require_all(case: SourceCase, preprocessing: Preprocessing) -> None:
    if len(case.images) != preprocessing.channel_count:
        raise UserError(
            f"{case.image}: has {len(case.images)} channels, not {preprocessing.channel_count}; correct "
            "--set data.TASK.channels"
        )
    missing = _missing(case, preprocessing)
    if missing and preprocessing.missing_channels == "refuse":
        raise UserError(
            f"{case.image}: the case lacks channel {', '.join(missing)}; add the file, or let such channels be 0 with "
            f"{MISSING}"
        )


def _require_plausible(image: Volume, path: Path, limits_mm: tuple[float, float]) -> None:
    low, high = limits_mm
    if min(image.spacing_mm) < low or max(image.spacing_mm) > high:
        found = " x ".join(f"{size:g}" for size in image.spacing_mm)
        wider = f"[{min(low, *image.spacing_mm):.9g}, {max(high, *image.spacing_mm):.9g}]"
        raise UserError(
            f"{path}: voxels of {found} mm (D, H, W) are not within {low:g} to {high:g} mm; correct the spacing in the "
            f"file's header, or if they are so --set data.TASK.voxel_mm='{wider}'"
        )
