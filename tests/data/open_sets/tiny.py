"""Open data sets in miniature, in the layouts that their servers have."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

ORGANS = 11


def volume(seed: int, shape: tuple[int, ...] = (9, 10, 11)) -> NDArray[np.int16]:
    """Noise that no two seeds share."""
    return np.random.default_rng(seed).integers(1, 1000, shape).astype(np.int16)


def nifti(voxels: NDArray) -> bytes:
    """A NIfTI file of `voxels` (x, y, z) or (x, y, z, channels)."""
    return nib.Nifti1Image(voxels, np.diag([1.0, 2.0, 3.0, 1.0])).to_bytes()


def gzipped(voxels: NDArray) -> bytes:
    return gzip.compress(nifti(voxels), mtime=0)


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return buffer.getvalue()


def decathlon(task: str = "Task04_Hippocampus", channels: tuple[str, ...] = ("MRI",), cases: int = 4) -> bytes:
    """The archive of a task: `cases` with labels and one without, and the twins that macOS makes of files."""
    stem = task.partition("_")[2].lower()
    described = {
        "name": stem,
        "licence": "CC-BY-SA 4.0",
        "tensorImageSize": "3D",
        "modality": {str(number): name for number, name in enumerate(channels)},
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "numTraining": cases,
    }
    members = {f"{task}/dataset.json": json.dumps(described).encode()}
    shape = (9, 10, 11) if len(channels) == 1 else (9, 10, 11, len(channels))
    for number in range(1, cases + 2):
        name = f"{stem}_{number:03d}.nii.gz"
        part = "Tr" if number <= cases else "Ts"
        members[f"{task}/images{part}/{name}"] = gzipped(volume(number, shape))
        members[f"{task}/images{part}/._{name}"] = b"twin"
        if part == "Tr":
            members[f"{task}/labels{part}/{name}"] = gzipped((volume(100 + number) % 3).astype(np.uint8))
    return tar(members)


def medmnist(classes: int, counts: tuple[int, int, int] = (11, 3, 4), size: int = 28) -> bytes:
    """The archive of a data set of MedMNIST3D."""
    arrays: dict[str, NDArray] = {}
    for seed, (split, count) in enumerate(zip(("train", "val", "test"), counts, strict=True)):
        rng = np.random.default_rng(seed)
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, size, size, size)).astype(np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count)[:, None] % classes).astype(np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def listing(keys: list[str], more: str = "") -> bytes:
    """A page of S3's ListObjectsV2."""
    contents = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    token = f"<NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    name = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<?xml version="1.0"?><ListBucketResult xmlns="{name}">{contents}{token}</ListBucketResult>'.encode()


def cine_slice(path: Path, place: int, phase: int, series: str) -> bytes:
    """One DICOM frame of a short-axis cine, whose voxels say its phase."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    frame = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    frame.SOPClassUID, frame.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    frame.SeriesInstanceUID = frame.StudyInstanceUID = series
    frame.Modality, frame.SeriesDescription = "MR", "CINESAX"
    frame.ImagePositionPatient, frame.ImageOrientationPatient = [0, 0, 8 * place], [1, 0, 0, 0, 1, 0]
    frame.PixelSpacing, frame.SliceThickness, frame.TriggerTime = [1.5, 1.5], 8, 40 * phase
    frame.InstanceNumber = 20 * place + phase + 1
    frame.Rows, frame.Columns, frame.SamplesPerPixel = 10, 12, 1
    frame.PhotometricInterpretation, frame.PixelRepresentation = "MONOCHROME2", 0
    frame.BitsAllocated, frame.BitsStored, frame.HighBit = 16, 16, 15
    pixels = np.random.default_rng([place, phase]).integers(0, 99, (10, 12)).astype(np.uint16) + 100 * phase
    frame.PixelData = pixels.tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, frame)
    return buffer.getvalue()
