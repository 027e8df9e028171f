"""The numbers that a DICOM file stores, neither rescaled nor inverted for display."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from ssl_bench.data.io.dicom_header import complaints
from ssl_bench.data.io.simpleitk import read_voxels, simpleitk
from ssl_bench.errors import UserError

_DEFAULTS = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PixelRepresentation": 0}
_LAYOUT = ("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit")


def stored_frames(path: Path, frames: Sequence[int]) -> Iterator[NDArray[Any]]:
    """These frames of a file, counted from 0, each (rows, columns). Raises UserError for a damaged file."""
    with complaints(path, "is damaged"):
        file = dcmread(path, force=True)
        for keyword, value in _DEFAULTS.items():
            if keyword not in file:
                setattr(file, keyword, value)
        file.file_meta.TransferSyntaxUID = _transfer_syntax(file)
        shape = (file.Rows, file.Columns)
        pixels = _by_gdcm(path, file, frames) if _needs_gdcm(file) else iter_pixels(file, indices=frames, raw=True)
        for frame in pixels:
            if frame.shape != shape:
                sizes = " instead of ".join(f"{height} x {width}" for height, width in (frame.shape, shape))
                raise UserError(f"{path}: is damaged (a frame of {sizes} pixels); write or download it again")
            yield frame


def _transfer_syntax(file: Dataset) -> UID:
    """As the file says, or as it was found to be written."""
    if said := file.file_meta.get("TransferSyntaxUID"):
        return UID(said)
    implicit, little = file.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _needs_gdcm(file: Dataset) -> bool:
    """Whether pixels are compressed or packed, which pydicom leaves to other libraries; SimpleITK brings GDCM."""
    return file.file_meta.TransferSyntaxUID.is_encapsulated or file.BitsAllocated == 12


def _by_gdcm(path: Path, file: Dataset, frames: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Read a copy that has nothing but the pixels: GDCM rescales by the first frame's slope and inverts MONOCHROME1."""
    copy = Dataset()
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = file.file_meta.TransferSyntaxUID
    several = int(file.get("NumberOfFrames") or 1) > 1
    copy.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage if several else SecondaryCaptureImageStorage
    copy.file_meta.MediaStorageSOPClassUID = copy.SOPClassUID
    copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID = generate_uid()
    for keyword in (*_DEFAULTS, *_LAYOUT, "PixelData"):
        if keyword in file:
            copy.add(file[keyword])
    copy.PhotometricInterpretation = "MONOCHROME2"
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "pixels.dcm"
        copy.save_as(plain, enforce_file_format=True)
        reader = simpleitk().ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(plain))
        voxels = read_voxels(path, reader)
    voxels = voxels.reshape(-1, *voxels.shape[-2:])
    yield from (voxels[number] for number in frames)
