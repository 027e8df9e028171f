"""MedMNIST3D (Yang et al., Scientific Data 2023): small volumes with a class each, laid as a folder with a CSV."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl_bench.api.cases import SPLITS
from ssl_bench.data.layouts.identifiers import scan_identifiers
from ssl_bench.data.open_sets.declaration import GIGABYTE, OpenSet, RemoteFile, at
from ssl_bench.data.open_sets.labelled_table import write_table
from ssl_bench.data.split_files import write_splits
from ssl_bench.data.splits import Fold, Splits
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SERVER = "https://zenodo.org/records/10519652/files"
_THEIR_SPLITS = dict(zip(SPLITS, ("train", "val", "test"), strict=True))
SPLIT = "split.json"


def lay(files: Mapping[str, Path], folder: Path, most_bytes: int, classes: tuple[str, ...]) -> None:
    """One NIfTI file a volume, ``labels.csv``, and ``split.json`` with the data set's own split.

    The arrays of the archive are ``train_images`` (N, D, H, W) of uint8, ``train_labels`` (N, 1) and their likes.
    """
    (archive,) = files.values()
    rows: list[tuple[str, int]] = []
    fold: dict[str, tuple[str, ...]] = {}
    for split, images, labels in _arrays(archive, most_bytes):
        names = [f"images/{split}_{number:04d}.nii.gz" for number in range(len(images))]
        for name, image in zip(names, images, strict=True):
            _save(image, folder / name)
        rows += zip(names, _whole(labels, classes), strict=True)
        fold[split] = tuple(scan_identifiers([folder / name for name in names], folder))
    write_table(folder, rows, classes)
    splits = Splits(task=f"folder-{archive.stem}", note="the data set's own", folds=(Fold(**fold),))
    write_splits(splits, folder / SPLIT)


def _arrays(archive: Path, most_bytes: int) -> list[tuple[str, NDArray[Any], NDArray[Any]]]:
    import numpy as np

    found: list[tuple[str, NDArray[Any], NDArray[Any]]] = []
    try:
        with zipfile.ZipFile(archive) as members:
            if sum(member.file_size for member in members.infolist()) > most_bytes:
                raise UserError(f"{archive}: holds more than {most_bytes / GIGABYTE:g} GB; it is not what was declared")
        with np.load(archive, allow_pickle=False) as arrays:
            for split, theirs in _THEIR_SPLITS.items():
                found.append((split, arrays[f"{theirs}_images"], arrays[f"{theirs}_labels"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive}: does not hold MedMNIST's arrays ({error}); remove it and fetch again") from error
    for name, images, labels in found:
        if images.ndim != 4 or images.dtype != np.uint8 or labels.size != len(images) or not len(images):
            raise UserError(f"{archive}: {name} images are {images.dtype} {images.shape}, not uint8 (N, D, H, W)")
    return found


def _whole(labels: NDArray[Any], classes: tuple[str, ...]) -> list[int]:
    values = [int(value) for value in labels.reshape(-1)]
    if not set(values) <= set(range(len(classes))):
        raise UserError(f"the archive has labels up to {max(values)}, for {len(classes)} classes")
    return values


def _save(image: NDArray[Any], path: Path) -> None:
    """A volume whose axes and voxels' size are lost: it reads as (D, H, W) with voxels of 1 mm."""
    import nibabel as nib
    import numpy as np

    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(image.T, np.eye(4)), path)


class _Facts(NamedTuple):
    """Of one data set, from MedMNIST's own ``info.py`` (3.0.2)."""

    md5: Mapping[int, str]
    counts: tuple[int, int, int]
    classes: tuple[str, ...]
    subjects: int | None
    modality: str
    good_for: str
    known: str


_ALL = {
    "organ": _Facts(
        {28: "a0c5a1ff56af4f155c46d46fbb45a2fe", 64: "58a2205adf14a9d0a189cb06dc78bf10"},
        (971, 161, 610),
        (
            *("liver", "kidney-right", "kidney-left", "femur-right", "femur-left", "bladder", "heart"),
            *("lung-right", "lung-left", "spleen", "pancreas"),
        ),
        201,
        "CT",
        "classification of 11 organs in their boxes",
        "several organs of one of 201 scans, which its split keeps on one side; whose is whose is not published",
    ),
    "nodule": _Facts(
        {28: "8755a7e9e05a4d9ce80a24c3e7a256f3", 64: "c47c5b7d457bf6332200d2ea6d64ecd8"},
        (1158, 165, 310),
        ("benign", "malignant"),
        None,
        "CT",
        "classification of lung nodules as malignant or not",
        "whose a nodule is, is not published, and its 1,633 nodules come from about 1,000 scans of LIDC-IDRI: one "
        "person may be on both sides of its split; malignancy is what radiologists guessed, without the middle grade",
    ),
    "fracture": _Facts(
        {28: "6aa7b0143a6b42da40027a9dda61302f", 64: "f01d7e6316aedf4210da0da5b7437b42"},
        (1027, 103, 240),
        ("buckle rib fracture", "nondisplaced rib fracture", "displaced rib fracture"),
        None,
        "CT",
        "classification of 3 kinds of rib fractures",
        "several fractures of one of 660 scans; whose is whose is not published",
    ),
    "adrenal": _Facts(
        {28: "bbd3c5a5576322bc4cdfea780653b1ce", 64: "17721accfe9fb005146a47d33bc54b2f"},
        (1188, 98, 298),
        ("normal", "hyperplasia"),
        792,
        "shape (mask from CT)",
        "classification of shapes: adrenal glands, normal or not",
        "masks, no images: not what networks pre-trained on scans have seen; both glands of a person, which its split "
        "keeps on one side, are two cases",
    ),
    "vessel": _Facts(
        {28: "b41fd4f7e7e2feedddb201585ecafa1b", 64: "6bb274a8846e1097066dcd64e2c4520f"},
        (1335, 191, 382),
        ("vessel", "aneurysm"),
        103,
        "shape (mesh from MRA)",
        "classification of shapes: vessels of the brain, with an aneurysm or not",
        "voxels made from meshes, no images; 1,908 pieces of 103 people, and nothing says that its split is by person",
    ),
    "synapse": _Facts(
        {28: "1235b78a3cd6280881dd7850a78eadb6", 64: "43bd14ebf3af9d3dd072446fedc14d5e"},
        (1230, 177, 352),
        ("inhibitory synapse", "excitatory synapse"),
        1,
        "electron microscopy",
        "classification far from any corpus of scans",
        "one neuron of one rat: scores say nothing about other animals",
    ),
}


def _declared(organ: str, facts: _Facts, size: int) -> OpenSet:
    stem = f"{organ}mnist3d" + ("" if size == 28 else f"_{size}")
    gigabytes = round(sum(facts.counts) * (size**3 + 1000) / GIGABYTE + 0.01, 2)
    name = f"folder-{stem}"
    return OpenSet(
        name=stem.replace("_", "-"),
        title=f"MedMNIST3D {organ}, {size} x {size} x {size}",
        laid_as="folder",
        modality=facts.modality,
        cases=sum(facts.counts),
        subjects=facts.subjects,
        licence="CC BY 4.0",
        non_commercial=False,
        source="https://medmnist.com, https://doi.org/10.5281/zenodo.10519652",
        good_for=facts.good_for,
        known=(facts.known, "8 bit and resized, the size of voxels is lost: 1 mm is written"),
        download_gb=gigabytes,
        disk_gb=gigabytes,
        folder=stem,
        remote=at(RemoteFile(f"{stem}.npz", f"{_SERVER}/{stem}.npz?download=1", f"md5:{facts.md5[size]}")),
        lay=lambda files, folder, most_bytes: lay(files, folder, most_bytes, facts.classes),
        settings=(f"data.{name}.intensity=percentile", f"data.{name}.spacing_mm=null"),
        options=("--split", f"{{folder}}/{SPLIT}"),
    )


SETS = tuple(_declared(organ, facts, size) for organ, facts in _ALL.items() for size in (28, 64))
