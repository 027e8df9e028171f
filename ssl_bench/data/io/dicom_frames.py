"""The frames of DICOM files, each with its place: a slice in a file of its own and a frame among others alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import keyword_for_tag

from ssl_bench.data.io.dicom_header import complaints, kind, lookup
from ssl_bench.errors import UserError

Vector = NDArray[np.float64]

_IN_SPACE = {"SliceVector", "GridFrameOffsetVector", "PerFrameFunctionalGroupsSequence"}
"""What frames may follow one another by; by anything else they are times, views or energies."""


class Frame(NamedTuple):
    """One plane of pixels."""

    path: Path
    number: int
    """In its file, from 0."""
    name: str
    series: str
    stack: str
    """Of a file that holds several stacks of frames, the one that this frame is of."""
    size: tuple[int, int]
    """Columns, rows."""
    axes: NDArray[np.float64]
    """(3, 3): one step along a row, down a column, and the unit normal, as columns, mm."""
    origin: Vector
    """(3,): the first pixel's place to the left, posterior and superior, mm."""
    slope: float
    intercept: float
    is_oriented: bool
    """Whether the header says how the axes lie; otherwise they are taken for those of an axial slice."""


def frames_of(path: Path, header: Dataset) -> list[Frame]:
    """The frames of one file, in its order. Raises UserError if they are no grey values at known places."""
    with complaints(path, "has a broken DICOM header"):
        count = int(header.get("NumberOfFrames") or 1)
        _require_pixels(path, header, count)
        size = (int(header.Columns), int(header.Rows))
        axes = [_axes(path, header, number) for number in range(_described(path, header, count))]
        origins = _origins(path, header, count, axes)
        return [
            Frame(
                path,
                number,
                path.name if count == 1 else f"frame {number + 1} of {path.name}",
                str(header.get("SeriesInstanceUID") or "").strip(),
                str(lookup(header, number, "FrameContentSequence", "StackID") or ""),
                size,
                axes[min(number, len(axes) - 1)],
                origins[number],
                *_scaling(path, header, number),
                _orientation(header, number) is not None,
            )
            for number in range(count)
        ]


def _require_pixels(path: Path, header: Dataset, count: int) -> None:
    if "Rows" not in header or "Columns" not in header:
        what = kind(path, header) or "a file without rows of pixels"
        raise UserError(f"{path}: is damaged or of another kind ({what}); write or download it again")
    colours = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    if int(header.get("SamplesPerPixel") or 1) != 1 or not colours.startswith("MONOCHROME"):
        raise UserError(f"{path}: its voxels are colours ({colours}); convert it to one number per voxel")
    if not 0 < count <= path.stat().st_size:
        raise UserError(f"{path}: has a broken DICOM header ({count} frames); write or download it again")
    if header.get("ModalityLUTSequence") and header.get("RescaleSlope") is None:
        raise UserError(f"{path}: its values go through a table (Modality LUT); convert it to rescaled values")


def _described(path: Path, header: Dataset, count: int) -> int:
    """How many frames have a description of their own; 1 where one holds for all."""
    described = len(header.get("PerFrameFunctionalGroupsSequence") or [])
    if described not in (0, count):
        raise UserError(f"{path}: holds {count} frames and describes {described}; write or download it again")
    return described or 1


def _orientation(header: Dataset, number: int) -> Any:
    return _placed(header, number, "PlaneOrientationSequence", "ImageOrientationPatient")


def _placed(header: Dataset, number: int, group: str, keyword: str) -> Any:
    """As `lookup`; nuclear medicine keeps places with its detectors."""
    value = lookup(header, number, group, keyword)
    detectors = header.get("DetectorInformationSequence") or []
    return detectors[0].get(keyword) or None if value is None and detectors else value


def _axes(path: Path, header: Dataset, number: int) -> NDArray[np.float64]:
    """(3, 3), see `Frame`."""
    spacing = lookup(header, number, "PixelMeasuresSequence", "PixelSpacing")
    if spacing is None:
        raise UserError(f"{path}: its header gives no spacing (PixelSpacing); write the file again with its spacing")
    cosines = np.array(_orientation(header, number) or (1, 0, 0, 0, 1, 0), np.float64).reshape(2, 3)
    down, along = np.array(spacing, np.float64)  # Between rows first.
    if not np.isfinite([down, along]).all() or min(down, along) <= 0:
        raise UserError(f"{path}: has spacing {along:g} x {down:g}; write the file again with its spacing in mm")
    lengths = np.linalg.norm(cosines, axis=1)
    normal = np.cross(*cosines) / lengths.prod() if lengths.all() else np.zeros(3)
    if not np.linalg.norm(normal) > 0.5:
        raise UserError(f"{path}: its ImageOrientationPatient {cosines.ravel().tolist()} is none; write the file again")
    row, column = cosines / lengths[:, None]
    return np.stack([row * along, column * down, normal / np.linalg.norm(normal)], axis=1)


def _origins(path: Path, header: Dataset, count: int, axes: list[NDArray[np.float64]]) -> list[Vector]:
    """The place of every frame: its own, or the first one's and a step along the normal."""
    if count == 1 or header.get("PerFrameFunctionalGroupsSequence"):
        places = [_placed(header, number, "PlanePositionSequence", "ImagePositionPatient") for number in range(count)]
        if missing := [number for number, place in enumerate(places) if place is None]:
            which = f"frame {missing[0] + 1}" if count > 1 else "it"
            raise UserError(f"{path}: does not say where {which} lies (ImagePositionPatient); export it again")
        return [_finite(path, place) for place in places]
    first = _finite(path, _placed(header, 0, "PlanePositionSequence", "ImagePositionPatient") or (0, 0, 0))
    normal = axes[0][:, 2]
    return [first + offset * normal for offset in _offsets(path, header, count, first, normal)]


def _finite(path: Path, place: Any) -> Vector:
    origin = np.array(place, np.float64)
    if origin.shape != (3,) or not np.isfinite(origin).all():
        raise UserError(f"{path}: its ImagePositionPatient {origin.tolist()} is no place; export it again")
    return origin


def _offsets(path: Path, header: Dataset, count: int, first: Vector, normal: Vector) -> Vector:
    """(count,): the distance of each frame from the first along the normal, mm."""
    offsets: Vector
    grid = header.get("GridFrameOffsetVector")
    slices = header.get("SliceVector")
    step = lookup(header, 0, "PixelMeasuresSequence", "SpacingBetweenSlices")
    if grid is not None:
        offsets = _dose_offsets(path, np.array(grid, np.float64, ndmin=1), first, normal)
    elif step is not None and slices is not None:
        offsets = (np.array(slices, np.float64, ndmin=1) - 1) * float(step)
    elif step is not None and not _other_order(header):
        offsets = np.arange(count, dtype=np.float64) * float(step)
    else:
        order = _other_order(header)
        what = f"its {count} frames are {order}, not slices" if order else f"does not say where its {count} frames lie"
        raise UserError(f"{path}: {what}; export it with a place for every frame")
    if offsets.shape != (count,) or not np.isfinite(offsets).all():
        raise UserError(f"{path}: holds {count} frames and places for {offsets.size}; write or download it again")
    return offsets


def _dose_offsets(path: Path, offsets: Vector, first: Vector, normal: Vector) -> Vector:
    """DICOM PS3.3, C.8.8.3.2: distances from the first plane, or heights of transverse planes."""
    if offsets[0] == 0:
        return offsets
    if np.allclose(normal, (0, 0, 1)) and np.isclose(offsets[0], first[2], atol=1e-3):
        return offsets - float(first[2])
    raise UserError(
        f"{path}: its GridFrameOffsetVector begins with {offsets[0]:g}, neither 0 nor the height of the first plane; "
        "export the dose again"
    )


def _other_order(header: Dataset) -> str:
    """What frames follow one another by, if not by their places."""
    pointers = header.get("FrameIncrementPointer")
    tags = [] if pointers is None else pointers if hasattr(pointers, "__iter__") else [pointers]
    names = [keyword_for_tag(tag) or str(tag) for tag in tags]
    return ", ".join(f"one for each {name}" for name in names if name not in _IN_SPACE)


def _scaling(path: Path, header: Dataset, number: int) -> tuple[float, float]:
    """Slope and intercept of a frame's stored numbers."""
    group = "PixelValueTransformationSequence"
    slope = header.get("DoseGridScaling")
    if slope is not None:
        intercept = 0
    else:
        slope, intercept = (lookup(header, number, group, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
    scaling = (1.0 if slope is None else float(slope), float(intercept or 0))
    if not scaling[0] or not np.isfinite(scaling).all():
        raise UserError(f"{path}: makes no values of its pixels (slope {scaling[0]:g}); export it again")
    return scaling
