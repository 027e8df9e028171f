"""Real data sets' folders in miniature: their names, formats and quirks, filled with the embedded anatomies.

Every function fills `root` the same way each time, in a fraction of a second, and returns the cases' identifiers.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ssl_bench.data.synthetic.anatomy import load_anatomy

Triple = tuple[float, float, float]


class Scan(NamedTuple):
    """An image and its labels, (D, H, W) = (superior, anterior, right), int16."""

    image: NDArray[np.int16]
    labels: NDArray[np.int16]
    spacing_mm: Triple


# What the scans show: corner and size of a window in an anatomy, in its voxels.
_HEART = ("chest", (30, 54, 44), (108, 96, 112))
_CHEST = ("chest", (3, 3, 3), (185, 161, 226))
_HEAD = ("brain", (3, 3, 3), (154, 186, 154))
_SIZE = {"chest": 0.5, "brain": 1.0}
"""Of life: a chest of half the size has an eighth of the voxels once it is resampled to 1 mm."""


@cache
def _arrays(anatomy: Literal["chest", "brain"]) -> Scan:
    whole = load_anatomy(anatomy)
    return Scan(whole.image.numpy().astype(np.int16), whole.labels.numpy(), whole.spacing_mm)


def _scan(
    window: tuple[Literal["chest", "brain"], tuple[int, ...], tuple[int, ...]], seed: int, steps=(2, 2, 2)
) -> Scan:
    """The window bent by a tenth, coarser by `steps`, with noise: each seed gives another person."""
    anatomy, corner, size = window
    whole, rng = _arrays(anatomy), np.random.default_rng(seed)
    box = _bent(
        np.ogrid[tuple(slice(a, a + n, step) for a, n, step in zip(corner, size, steps, strict=True))], size, rng
    )
    box = tuple(np.clip(places, 0, n - 1) for places, n in zip(box, whole.image.shape, strict=True))
    image = whole.image[box] + rng.normal(0, 8, whole.image[box].shape)
    low = -1024 if anatomy == "chest" else 0
    d, h, w = (_SIZE[anatomy] * size * step for size, step in zip(whole.spacing_mm, steps, strict=True))
    return Scan(image.round().clip(low, 3071).astype(np.int16), whole.labels[box].copy(), (d, h, w))


def _bent(places: list[NDArray], size: tuple[int, ...], rng: np.random.Generator) -> tuple[NDArray, ...]:
    """Whole places along each axis, moved by waves along the two others."""
    moved = []
    for axis, along in enumerate(places):
        waves = [
            np.sin(rng.uniform(5, 9) * at / n + rng.uniform(0, 2 * np.pi)) for at, n in zip(places, size, strict=True)
        ]
        move = 0.08 * size[axis] * waves[axis - 1] * waves[axis - 2]
        moved.append(np.rint(along + move).astype(int))
    return tuple(np.broadcast_arrays(*moved))


def _nifti(
    path: Path, voxels: NDArray, spacing_mm: Triple, axes="RAS", kind=None, big_endian=False, frames=False
) -> None:
    """`axes` is the order on disk; a `kind` that cannot hold the voxels makes nibabel scale them (scl_slope)."""
    header = nib.Nifti1Header(endianness=">" if big_endian else "<")
    stored = nib.Nifti1Image(voxels.T, np.diag([*spacing_mm[::-1], 1.0]), header)
    wanted = nib.orientations.axcodes2ornt(tuple(axes))
    stored = stored.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(stored.affine), wanted))
    pixels = np.asarray(stored.dataobj)
    image = nib.Nifti1Image(pixels[..., None] if frames else pixels, stored.affine, header)
    image.set_data_dtype(kind or voxels.dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def _itk(voxels: NDArray, spacing_mm: Triple, axes="LPS", **tags: str) -> sitk.Image:
    """For NRRD, MetaImage and DICOM, whose axes run to left, posterior and superior; the same place as the NIfTI."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels[:, ::-1, ::-1]))
    d, h, w = spacing_mm
    image.SetSpacing((w, h, d))
    image.SetOrigin((-(voxels.shape[2] - 1) * w, -(voxels.shape[1] - 1) * h, 0.0))
    image = sitk.DICOMOrient(image, axes)
    for name, text in tags.items():
        image.SetMetaData(name, text)
    return image


def _write_itk(path: Path, voxels: NDArray, spacing_mm: Triple, axes="LPS", **tags: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(_itk(voxels, spacing_mm, axes, **tags), str(path), useCompression=True)


def _write_table(path: Path, rows: list[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_mmwhs(root: Path, cases=6, release: Literal["2017", "successor"] = "2017", orphan=False) -> list[str]:
    """MM-WHS: CT for training, one MR and one unlabelled test scan; `orphan` adds a label without an image.

    The first case has the stray label 421, float64 labels and one frame of four dimensions; others are turned,
    anisotropic, big-endian, scaled and uncompressed.
    """
    folder = root / ("ct_train" if release == "2017" else "A ct_train")
    names = [f"ct_train_{1001 + n}" if release == "2017" else f"Case{1001 + n}" for n in range(cases)]
    for n, name in enumerate(names):
        scan = _scan(_HEART, n, (3, 2, 2) if n % 6 == 2 else (2, 2, 2))
        axes, ending = ("RAS", "LPS", "PIR", "RAS", "LAS", "SRA")[n % 6], ".nii" if n % 6 == 5 else ".nii.gz"
        place = folder / "more" if n % 6 == 5 else folder
        if n == 0:
            scan.labels[tuple(np.argwhere(scan.labels == 420)[0])] = 421
        quirks = {"big_endian": n % 6 == 3, "frames": n % 6 == 0}
        scaled = scan.image + np.float32(0.5) if n % 6 == 4 else scan.image
        _nifti(place / f"{name}_image{ending}", scaled, scan.spacing_mm, axes, np.int16, **quirks)
        labels = scan.labels.astype(np.float64) if n % 6 == 0 else scan.labels
        _nifti(place / f"{name}_label{ending}", labels, scan.spacing_mm, axes)
    beside = [("mr_train/mr_train_1001", True), ("ct_test/ct_test_2001", False)]
    if release == "successor":
        beside = [("C and D mr_train/Case2001", True), ("ct_test/Case3001", False)]
    for name, labelled in beside:
        scan = _scan(_HEART, 100, (4, 4, 4))
        _nifti(root / f"{name}_image.nii.gz", scan.image, scan.spacing_mm)
        if labelled:
            _nifti(root / f"{name}_label.nii.gz", scan.labels, scan.spacing_mm)
    if orphan:
        scan = _scan(_HEART, 101, (4, 4, 4))
        _nifti(folder / f"{names[0][:-4]}1999_label.nii.gz", scan.labels, scan.spacing_mm)
    return names


def write_asoca(root: Path, layout: Literal["challenge", "release"] = "challenge", cases=6) -> list[str]:
    """ASOCA in compressed NRRD, every other scan turned, and an unlabelled test scan.

    The aorta, which the embedded labels have, stands in for the coronary arteries.
    """
    half = -(-cases // 2)
    names = [f"Normal_{n + 1}" if n < half else f"Diseased_{n + 1 - half}" for n in range(cases)]
    for n, name in enumerate(names):
        scan = _scan(_HEART, 20 + n)
        group = name.partition("_")[0]
        image, mask = f"{group}/CTCA/{name}.nrrd", f"{group}/Annotations/{name}.nrrd"
        if layout == "challenge":
            image, mask = f"ASOCA2020Data/Train/{n}.nrrd", f"ASOCA2020Data/Train_Masks/{n}.nrrd"
        axes = ("LPS", "RIP")[n % 2]
        _write_itk(root / image, scan.image, scan.spacing_mm, axes)
        _write_itk(root / mask, (scan.labels == 820).astype(np.uint8), scan.spacing_mm, axes)
    test = "ASOCA2020Data/Test/0.nrrd" if layout == "challenge" else "Testset_Normal/0.nrrd"
    unlabelled = _scan(_HEART, 102, (4, 4, 4))
    _write_itk(root / test, unlabelled.image, unlabelled.spacing_mm)
    return [str(n) for n in range(cases)] if layout == "challenge" else sorted(names)


def write_candi(root: Path, naming: Literal["original", "export"] = "original", cases=6) -> list[str]:
    """CANDI: subjects of the four groups; those of SS call their label ``.seg``. Label 26 is no class of the task."""
    groups = [("HC", 1), ("BPDwoPsy", 30), ("BPDwPsy", 65), ("SS", 84)]
    names = [f"{group}_{first + n // 4:03d}" for n in range(cases) for group, first in [groups[n % 4]]]
    for n, name in enumerate(names):
        scan = _scan(_HEAD, 40 + n, (4, 4, 4))
        scan.labels[0, 0, 0] = 26
        if naming == "original":
            image, label = f"{name}/{name}_procimg.nii.gz", f"{name}/{name}_seg.nii.gz"
            if name.startswith("SS"):
                label = f"{name}/{name}.seg.nii.gz"
        else:
            image, label = f"{name}_MR/anat/NIfTI/anat.nii.gz", f"{name}_MR/{name}_MR_seg/NIfTI/seg.nii.gz"
        axes = ("LIA", "RAS")[n % 2]
        _nifti(root / image, scan.image, scan.spacing_mm, axes)
        _nifti(root / label, scan.labels, scan.spacing_mm, axes)
    _write_table(root / "HC_Basic_Demographics.csv", [("Subject", "Gender", "Age"), ("HC_001", "male", "9.1")])
    return sorted(names)


def write_stoic(root: Path, cases=8) -> list[str]:
    """STOIC: whole chests in MetaImage, age and sex in their headers, as many positive as negative."""
    patients = [str(7 + 13 * n) for n in range(cases)]
    rows: list[tuple[object, ...]] = [("PatientID", "probCOVID", "probSevere")]
    for n, patient in enumerate(patients):
        scan = _scan(_CHEST, 60 + n, (4, 4, 5))
        tags = {"PatientAge": f"0{35 + 10 * (n % 6)}Y", "PatientSex": "FM"[n % 2]}
        _write_itk(root / "data" / "mha" / f"{patient}.mha", scan.image, scan.spacing_mm, **tags)
        rows.append((patient, n % 2, int(n % 4 == 3)))
    _write_table(root / "metadata" / "reference.csv", [rows[0], *reversed(rows[1:])])
    return patients


def write_nnunet(root: Path, cases=6, version: Literal[1, 2] = 2, test=0) -> list[str]:
    """nnU-Net's raw format: two chambers on CT; `test` more cases in ``imagesTs`` with their labels in ``labelsTs``."""
    names = [f"heart_{n + 1:03d}" for n in range(cases + test)]
    for n, name in enumerate(names):
        scan = _scan(_HEART, 80 + n)
        labels = np.select([scan.labels == 500, scan.labels == 600], [1, 2]).astype(np.uint8)
        part = "Tr" if n < cases else "Ts"
        _nifti(root / f"images{part}" / f"{name}_0000.nii.gz", scan.image, scan.spacing_mm)
        _nifti(root / f"labels{part}" / f"{name}.nii.gz", labels, scan.spacing_mm)
    described = {
        1: {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "left ventricle", "2": "right ventricle"}},
        2: {
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, "left ventricle": 1, "right ventricle": 2},
            "file_ending": ".nii.gz",
        },
    }[version]
    text = json.dumps({"name": "Chambers", "licence": "CC BY 4.0", "numTraining": cases, **described})
    (root / "dataset.json").write_text(text)
    return names


def write_labelled_folder(root: Path, cases=8) -> list[str]:
    """Scans in NIfTI and NRRD, and ``labels.csv``; the first two scans are one patient's."""
    rows: list[tuple[object, ...]] = [("image", "label", "patient")]
    for n in range(cases):
        scan = _scan(_HEART, 100 + n)
        name = f"scans/case_{n + 1}.nii.gz" if n % 2 else f"scans/case_{n + 1}.nrrd"
        save = _nifti if n % 2 else _write_itk
        save(root / name, scan.image, scan.spacing_mm)
        rows.append((name, n // 2 % 2, f"p{max(n, 1)}"))
    _write_table(root / "labels.csv", rows)
    return [f"scans-case_{n + 1}" for n in range(cases)]


def write_corpus(root: Path, cases=6) -> list[str]:
    """Unlabelled chest scans of any depth in all four formats, and the coronary mask that ImageCAS keeps beside one."""
    names = []
    for n in range(cases):
        scan = _scan(_HEART, 140 + n)
        if n % 4 == 0:
            name = f"1-200/{n + 1}.img.nii.gz"
            _nifti(root / name, scan.image, scan.spacing_mm, "LPS")
            _nifti(root / f"1-200/{n + 1}.label.nii.gz", (scan.labels == 820).astype(np.uint8), scan.spacing_mm, "LPS")
        elif n % 4 == 3:
            name = f"dicom/patient {n + 1}/CT.thorax"
            _write_dicom(root / name, scan, n)
        else:
            name = f"scan_{n + 1}.{'mha' if n % 4 == 1 else 'nrrd'}"
            _write_itk(root / name, scan.image, scan.spacing_mm)
        names.append(name.removesuffix(".nii.gz").removesuffix(".mha").removesuffix(".nrrd"))
    return sorted(name.replace("/", "-").replace(" ", "-") for name in names)


def _write_dicom(folder: Path, scan: Scan, series: int) -> None:
    """One file a slice, as a scanner's export."""
    folder.mkdir(parents=True)
    volume = _itk(scan.image, scan.spacing_mm)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(volume.GetDepth()):
        section = volume[:, :, number]
        place = volume.TransformIndexToPhysicalPoint((0, 0, number))
        for tag, text in {
            "0008|0060": "CT",
            "0008|0018": f"1.2.3.{series}.{number + 1}",
            "0020|000d": f"1.2.3.{series}",
            "0020|000e": f"1.2.3.{series}.0",
            "0020|0013": str(number + 1),
            "0020|0032": "\\".join(f"{value:g}" for value in place),
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|1052": "-1024",
            "0028|1053": "1",
        }.items():
            section.SetMetaData(tag, text)
        writer.SetFileName(str(folder / f"IM{number + 1}.dcm"))
        writer.Execute(section)
