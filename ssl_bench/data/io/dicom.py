"""DICOM: the slices of one series in a folder, or all of them in one file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_bench.data.io.canonical import compact_type, require_grid
from ssl_bench.data.io.simpleitk import affine_from_itk, open_image, read_image, read_voxels
from ssl_bench.data.io.volume import Volume
from ssl_bench.errors import UserError

_IMAGE_IO = "GDCMImageIO"
_SERIES_UID = "0020|000e"
_UNEVEN = 0.1
"""Tolerance as a share of the step between slices."""
_SAME_PLANE = 1e-3
"""Tolerance of a direction cosine and of a pixel's size in mm."""


class _Slice(NamedTuple):
    path: Path
    series: str
    size: tuple[int, ...]
    axes: NDArray[np.float64]
    """(3, 3): one step along a row, down a column, and the unit normal, as columns, mm."""
    origin: NDArray[np.float64]


def read_dicom(path: Path) -> Volume:
    """All frames of one file. Raises UserError if it is not one scalar volume."""
    return read_image(path, _IMAGE_IO)


def read_series(folder: Path, files: list[Path]) -> Volume:
    """The slices in any order, all of the folder's DICOM files.

    Raises UserError for several series, slices that do not match, and places without a slice or with two.
    """
    if not files:
        raise UserError(f"{folder}: holds no DICOM slices; give a scan's file or the folder of a DICOM series")
    if len(files) == 1:
        return read_dicom(files[0])
    slices = [_read_slice(file) for file in files]
    _require_one_series(folder, slices)
    slices = _by_place(folder, slices)
    first, last = slices[0], slices[-1]
    axes = first.axes.copy()
    axes[:, 2] = (last.origin - first.origin) / (len(slices) - 1)
    affine = affine_from_itk(axes, first.origin)
    require_grid(folder, (*first.size[:2], len(slices)), affine)
    return Volume(_stack([slice_.path for slice_ in slices]), affine)


def _read_slice(path: Path) -> _Slice:
    header = open_image(path, _IMAGE_IO)
    axes = np.reshape(header.GetDirection(), (3, 3)) * (*header.GetSpacing()[:2], 1.0)
    series = header.GetMetaData(_SERIES_UID) if header.HasMetaDataKey(_SERIES_UID) else ""
    return _Slice(path, series.strip(), header.GetSize(), axes, np.array(header.GetOrigin()))


def _stack(paths: list[Path]) -> NDArray[Any]:
    """(K, J, I): filled slice by slice, in a type that holds the rescaled values of all."""
    first = _pixels(paths[0])
    voxels = np.empty((len(paths), *first.shape), first.dtype)
    for number, path in enumerate(paths):
        pixels = _pixels(path)
        voxels = voxels.astype(np.result_type(voxels, pixels), copy=False)
        voxels[number] = pixels
    return voxels


def _pixels(path: Path) -> NDArray[Any]:
    """(J, I), rescaled, and narrow again: ITK rescales 16 bits to 32."""
    pixels: NDArray[Any] = read_voxels(path, open_image(path, _IMAGE_IO))[0]
    return pixels.astype(compact_type(pixels))


def _require_one_series(folder: Path, slices: list[_Slice]) -> None:
    count = len({slice_.series for slice_ in slices})
    if count > 1:
        raise UserError(f"{folder}: holds {count} DICOM series; put every series into a folder of its own")
    first = slices[0]
    for other in slices:
        if other.size[2:] != (1,):
            raise UserError(f"{folder}: {other.path.name} holds several frames; put it into a folder of its own")
        if other.size != first.size:
            sizes = (f"{slice_.path.name} has {slice_.size[0]} x {slice_.size[1]}" for slice_ in (first, other))
            raise UserError(f"{folder}: slices differ in size ({', '.join(sizes)}); keep one scan's slices only")
        if np.abs(other.axes - first.axes).max() > _SAME_PLANE:
            raise UserError(
                f"{folder}: {first.path.name} and {other.path.name} differ in orientation or pixel size; keep one "
                "scan's slices only"
            )


def _by_place(folder: Path, slices: list[_Slice]) -> list[_Slice]:
    """The slices in the order of their places along the normal, which are a step apart."""
    normal = slices[0].axes[:, 2]
    ordered = sorted(slices, key=lambda slice_: float(slice_.origin @ normal))
    steps = np.diff([slice_.origin @ normal for slice_ in ordered])
    usual = float(np.median(steps))
    for (before, after), step in zip(pairwise(ordered), steps, strict=True):
        pair = f"{before.path.name} and {after.path.name}"
        if step < _UNEVEN * usual or usual == 0:
            raise UserError(f"{folder}: {pair} lie at the same place; keep one slice for every place")
        if abs(step - usual) > _UNEVEN * usual:
            raise UserError(
                f"{folder}: {pair} are {step:.4g} mm apart, others {usual:.4g} mm; add the missing slices or resample "
                "the scan to even steps"
            )
    return ordered
