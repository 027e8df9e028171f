"""DICOM files made from nothing with pydicom: whatever the standard allows and scanners write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, RTDoseStorage, generate_uid

STEP = 2.5
"""Between planes, mm."""
SPACING = [0.8, 0.7]
"""Between rows and columns, mm."""
AXIAL = [1, 0, 0, 0, 1, 0]
VALUES = np.random.default_rng(0).integers(0, 4000, (5, 4, 6)).astype(np.uint16)
"""(K, J, I) from foot to head."""
PLACES = [(10.0, -20.0, 30.0 + STEP * number) for number in range(len(VALUES))]


def item(**elements) -> list[Dataset]:
    """A sequence of one."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return [dataset]


def write(path: Path, storage: str, values: np.ndarray | None = None, **elements) -> Path:
    """A file with these pixels, or none, and these elements; an element that is None is left out."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = storage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid()
    file.PatientID, file.StudyInstanceUID, file.SeriesInstanceUID, file.Modality = "1", "1.2.3", "1.2.3.4", "CT"
    if values is not None:
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.Rows, file.Columns = values.shape[-2:]
        file.BitsAllocated = file.BitsStored = 8 * values.itemsize
        file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(values.dtype.kind == "i")
        if values.ndim == 3:
            file.NumberOfFrames = len(values)
        file.add_new("PixelData", "OW", values.tobytes())
    for keyword, value in elements.items():
        if value is not None:
            setattr(file, keyword, value)
        elif keyword in file:
            delattr(file, keyword)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)
    return path


def frame(place, stack="1", slope=None, orientation=None, spacing=None) -> Dataset:
    """The functional groups of one frame, with what differs from the others'."""
    (groups,) = item(PlanePositionSequence=item(ImagePositionPatient=list(place)))
    groups.FrameContentSequence = item(StackID=stack)
    if slope is not None:
        groups.PixelValueTransformationSequence = item(RescaleSlope=slope, RescaleIntercept=-3)
    if orientation is not None:
        groups.PlaneOrientationSequence = item(ImageOrientationPatient=orientation)
    if spacing is not None:
        groups.PixelMeasuresSequence = item(PixelSpacing=spacing)
    return groups


def enhanced(folder: Path, frames=None, values=VALUES, orientation=AXIAL, storage=EnhancedCTImageStorage, **elements):
    """A multi-frame file; without `frames` those of `PLACES`."""
    shared = item(
        PixelMeasuresSequence=item(PixelSpacing=SPACING, SpacingBetweenSlices=STEP),
        PlaneOrientationSequence=item(ImageOrientationPatient=orientation),
    )
    groups = [frame(place) for place in PLACES] if frames is None else frames
    elements = {"SharedFunctionalGroupsSequence": shared, "PerFrameFunctionalGroupsSequence": groups} | elements
    return write(folder / "scan.dcm", storage, values, **elements)


def dose(folder: Path, offsets, orientation=AXIAL, **elements):
    """An RT Dose in hundredths of a gray."""
    elements = {
        "Modality": "RTDOSE",
        "ImagePositionPatient": list(PLACES[0]),
        "ImageOrientationPatient": orientation,
        "PixelSpacing": SPACING,
        "FrameIncrementPointer": 0x3004000C,
        "GridFrameOffsetVector": list(offsets),
        "DoseGridScaling": 0.01,
    } | elements
    return write(folder / "dose.dcm", RTDoseStorage, VALUES.astype(np.uint32), **elements)


def series(folder: Path, values=VALUES, places=None, **elements) -> Path:
    """A CT slice in each file; an element may be a function of the slice's number."""
    for number, place in enumerate(PLACES if places is None else places):
        own = {keyword: value(number) if callable(value) else value for keyword, value in elements.items()}
        own = {
            "ImagePositionPatient": list(place),
            "ImageOrientationPatient": AXIAL,
            "PixelSpacing": SPACING,
        } | own
        write(folder / f"{number}.dcm", CTImageStorage, values[number], **own)
    return folder
