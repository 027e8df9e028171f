"""DICOM: the frames of one series, in a folder of files or all in one file, in the order of their places."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_bench.data.io.canonical import compact_type, require_grid
from ssl_bench.data.io.dicom_frames import Frame, frames_of
from ssl_bench.data.io.dicom_header import holds_picture, kind, read_header
from ssl_bench.data.io.dicom_pixels import stored_frames
from ssl_bench.data.io.simpleitk import affine_from_itk
from ssl_bench.data.io.volume import NO_ORIENTATION, Volume
from ssl_bench.errors import UserError

_UNEVEN = 0.1
"""Tolerance as a share of the step between slices."""
_TOUCHING_MM = 1e-4
"""Between slices at one place: rounding."""
_ASIDE = 0.5
"""How far a slice may lie beside the line through the first and the last, in pixels."""
_SAME_PLANE = 1e-3
"""Tolerance of a direction cosine and of a pixel's size in mm."""
_FEW = 3
"""Names in a note."""


def read_dicom(place: Path, files: list[Path]) -> Volume:
    """The frames of all files, in any order; `place` is the file or the folder.

    Objects that are no pictures are passed over and noted. Raises UserError for several series or stacks, frames that
    do not match, and places without a frame or with two.
    """
    frames: list[Frame] = []
    others: list[str] = []
    for file in files:
        header = read_header(file)
        if holds_picture(file, header):
            frames += frames_of(file, header)
        else:
            others.append(f"{file.name} ({kind(file, header)})")
    passed_over = ", ".join(others[:_FEW]) + (f" and {len(others) - _FEW} more" if len(others) > _FEW else "")
    if not frames:
        held = f" but {passed_over}" if others else ""
        raise UserError(f"{place}: holds no DICOM slices{held}; give a scan's file or the folder of a DICOM series")
    _require_one_series(place, frames)
    frames = _by_place(place, frames)
    axes = frames[0].axes.copy()
    if len(frames) > 1:
        axes[:, 2] = (frames[-1].origin - frames[0].origin) / (len(frames) - 1)
    affine = affine_from_itk(axes, frames[0].origin)
    require_grid(place, (*frames[0].size, len(frames)), affine)
    notes = [] if all(frame.is_oriented for frame in frames) else [NO_ORIENTATION]
    notes += [f"passed over, no picture: {passed_over}"] if others else []
    return Volume(_stack(frames), affine, tuple(notes))


def _stack(frames: list[Frame]) -> NDArray[Any]:
    """(K, J, I): filled frame by frame, in a type that holds the rescaled values of all."""
    places: dict[Path, list[int]] = defaultdict(list)
    for place, frame in enumerate(frames):
        places[frame.path].append(place)
    columns, rows = frames[0].size
    voxels: NDArray[Any] = np.empty((len(frames), rows, columns), np.bool_)  # Any other type holds this one's values.
    for path, wanted in places.items():
        stored = stored_frames(path, [frames[place].number for place in wanted])
        for place, pixels in zip(wanted, stored, strict=True):
            values = _values(pixels, frames[place])
            voxels = voxels.astype(np.result_type(voxels, values), copy=False)
            voxels[place] = values
    return voxels


def _values(pixels: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """(rows, columns): what the stored numbers stand for, in double precision before it is narrow again."""
    slope, intercept = frame.slope, frame.intercept
    if (slope, intercept) == (1, 0):
        values = pixels
    elif pixels.dtype.kind in "iu" and all(part.is_integer() and abs(part) < 2**30 for part in (slope, intercept)):
        values = pixels.astype(np.int64) * int(slope) + int(intercept)
    else:
        values = pixels * np.float64(slope) + intercept
    return values.astype(compact_type(values))


def _require_one_series(place: Path, frames: list[Frame]) -> None:
    for what, values in (
        ("DICOM series", {frame.series for frame in frames}),
        ("stacks of frames", {frame.stack for frame in frames}),
    ):
        if len(values) > 1:
            alone = "put every series into a folder of its own" if what == "DICOM series" else "export every one alone"
            raise UserError(f"{place}: holds {len(values)} {what}; {alone}")
    first = frames[0]
    for other in frames:
        if other.size != first.size:
            sizes = (f"{frame.name} has {frame.size[0]} x {frame.size[1]}" for frame in (first, other))
            raise UserError(f"{place}: slices differ in size ({', '.join(sizes)}); keep one scan's slices only")
        if np.abs(other.axes - first.axes).max() > _SAME_PLANE:
            raise UserError(
                f"{place}: {first.name} and {other.name} differ in orientation or pixel size; keep one scan's slices "
                "only"
            )


def _by_place(place: Path, frames: list[Frame]) -> list[Frame]:
    """The frames in the order of their places along the normal, which are a step apart and on a line."""
    normal = frames[0].axes[:, 2]
    ordered = sorted(frames, key=lambda frame: float(frame.origin @ normal))
    steps = np.diff([frame.origin @ normal for frame in ordered])
    usual = float(np.median(steps[steps > _TOUCHING_MM])) if (steps > _TOUCHING_MM).any() else 0.0
    pairs = [f"{before.name} and {after.name}" for before, after in pairwise(ordered)]
    for pair, step in zip(pairs, steps, strict=True):
        if step < _UNEVEN * usual or usual == 0:
            raise UserError(f"{place}: {pair} lie at the same place; keep one slice for every place")
    for pair, step in zip(pairs, steps, strict=True):
        if abs(step - usual) > _UNEVEN * usual:
            raise UserError(
                f"{place}: {pair} are {step:.4g} mm apart, others {usual:.4g} mm; add the missing slices or resample "
                "the scan to even steps"
            )
    _require_line(place, ordered)
    return ordered


def _require_line(place: Path, ordered: list[Frame]) -> None:
    first, last = ordered[0], ordered[-1]
    pixel = np.linalg.norm(first.axes[:, :2], axis=0)
    for number, frame in enumerate(ordered):
        expected = first.origin + (last.origin - first.origin) * (number / max(1, len(ordered) - 1))
        aside = (frame.origin - expected) @ first.axes[:, :2] / pixel
        if np.abs(aside / pixel).max() > _ASIDE:
            raise UserError(
                f"{place}: {frame.name} lies {np.abs(aside).max():.4g} mm beside the line of the others; resample the "
                "scan to one grid"
            )
