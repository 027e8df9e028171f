"""The header of one DICOM file: whether it holds a picture, and what each of its frames shows where."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from ssl_bench.errors import UserError

_ELEMENTS = (
    "SOPClassUID",
    "SeriesInstanceUID",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "FrameIncrementPointer",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "SliceVector",
    "DetectorInformationSequence",
    "GridFrameOffsetVector",
    "DoseGridScaling",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""What is read of a header: a contour's points or a private report can be larger than the picture."""


def read_header(path: Path) -> Dataset:
    """What of a file's header matters here; empty for what is no DICOM. Raises UserError for a damaged one."""
    with complaints(path, "has a broken DICOM header"):
        try:
            return dcmread(path, stop_before_pixels=True, specific_tags=list(_ELEMENTS))
        except InvalidDicomError:  # Old files begin without the letters DICM.
            return dcmread(path, stop_before_pixels=True, specific_tags=list(_ELEMENTS), force=True)


def kind(path: Path, header: Dataset) -> str:
    """The name of the object's class, as ``RT Structure Set Storage``, or its UID; empty if the header does not say."""
    with complaints(path, "has a broken DICOM header"):
        uid = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or ""
        return UID(str(uid)).name


def holds_picture(path: Path, header: Dataset) -> bool:
    """Whether an object is a picture, or a broken file that should be one; segmentations are none.

    Contours, plans, reports, presentation states, documents, registrations and raw data are none.
    """
    name = kind(path, header)
    return "Segmentation" not in name and ("Rows" in header or not name or "Image" in name)


def may_hold_picture(path: Path) -> bool:
    """Whether a file is a picture or cannot be understood, which its reader then says."""
    try:
        return holds_picture(path, read_header(path))
    except UserError:
        return True


def lookup(header: Dataset, frame: int, group: str, keyword: str) -> Any:
    """What holds for a frame: its own functional group's value, else that of all frames, else the file's, else None.

    `group` is the sequence that holds `keyword` in a functional group.
    """
    frames: Sequence[Dataset] = header.get("PerFrameFunctionalGroupsSequence") or []
    shared: Sequence[Dataset] = header.get("SharedFunctionalGroupsSequence") or []
    for place in (*frames[frame : frame + 1], *shared[:1]):
        items: Sequence[Dataset] = place.get(group) or []
        if items and not _is_empty(value := items[0].get(keyword)):
            return value
    value = header.get(keyword)
    return None if _is_empty(value) else value


@contextmanager
def complaints(path: Path, problem: str) -> Iterator[None]:
    """Turn whatever pydicom raises into a UserError of one line, and drop its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:  # Of a damaged file pydicom raises what its parser happens to meet.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: {problem} ({reason}); write or download it again") from error


def _is_empty(value: Any) -> bool:
    return value is None or (not isinstance(value, int | float) and len(value) == 0)
