"""A scan whose canonical form is known, and its files, written by ITK alone."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ssl_bench.data.io.volume import Volume

ORIENTATIONS = [
    "".join(letters) for axes in itertools.permutations(("RL", "AP", "SI")) for letters in itertools.product(*axes)
]


def scan(kind=np.int16, oblique=True) -> tuple[sitk.Image, Volume]:
    """Unequal sizes and spacings, an origin, axes 12 degrees off; ITK's own axes run right, anterior, superior."""
    values = np.random.default_rng(0).integers(-1000, 1500, (5, 6, 7)).astype(kind)
    image = sitk.GetImageFromArray(values if np.issubdtype(kind, np.integer) else values + kind(0.25))
    angle = np.radians(12 if oblique else 0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection((turn @ np.diag([-1.0, -1.0, 1.0])).ravel())
    affine = np.eye(4)
    cosine, sine = np.cos(angle), np.sin(angle)
    affine[:3] = [[2.5, 0, 0, 30], [0, 0.8 * cosine, 0.7 * sine, 20], [0, -0.8 * sine, 0.7 * cosine, -10]]
    return image, Volume(sitk.GetArrayFromImage(image), affine)


def write(image: sitk.Image, path: Path, code: str = "LPS") -> Path:
    """One file, or for a path without a suffix a DICOM series, with its axes running as the code says."""
    turned = sitk.DICOMOrient(image, code)
    if path.suffix:
        turned.SetMetaData("0008|0060", "CT")  # DICOM needs it: other modalities have no negative values.
        sitk.WriteImage(turned, str(path))
    else:
        write_series(turned, path)
    return path


def write_series(image: sitk.Image, folder: Path, series="1.2.3.4", name="{:x}", offset=None, keep=None) -> Path:
    """One file for a slice, named in no order of places; `offset` of slice n is its place from the first, mm."""
    folder.mkdir(exist_ok=True, parents=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetImageIO("GDCMImageIO")
    row, column, normal = np.reshape(image.GetDirection(), (3, 3)).T
    for number in range(image.GetDepth()) if keep is None else keep:
        step = number * normal * image.GetSpacing()[2] if offset is None else offset(number)
        place = np.array(image.GetOrigin()) + step
        pixels = image[:, :, number]
        for tag, text in {
            "0008|0060": "CT",
            "0008|0018": f"{series}.{number + 1}",
            "0020|000d": "1.2.3",
            "0020|000e": series,
            "0020|0013": "1",
            "0020|0032": "\\".join(f"{value:.9g}" for value in place),
            "0020|0037": "\\".join(f"{value:.9g}" for value in (*row, *column)),
            "0028|1052": "-1024",
            "0028|1053": "1",
        }.items():
            pixels.SetMetaData(tag, text)
        writer.SetFileName(str(folder / name.format((number * 7919 + 5) % 4093)))
        writer.Execute(pixels)
    return folder
