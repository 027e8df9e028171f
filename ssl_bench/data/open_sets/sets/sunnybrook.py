"""Sunnybrook Cardiac Data (Radau et al., MIDAS Journal 2009): a heart a person, laid as a folder with four classes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_bench.data.layouts.tables import read_table
from ssl_bench.data.open_sets.declaration import OpenSet, RemoteFile, at
from ssl_bench.data.open_sets.labelled_table import write_table
from ssl_bench.data.open_sets.unpacking import unpack
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    import pydicom

_SERVER = "https://www.cardiacatlas.org/share/download.php"
_PATIENTS = "scd_patientdata.csv"
_SLICE = re.compile(r"(?:^|/)(?P<patient>SCD\d{7})/(?P<series>CINESAX[^/]*)/(?P<file>[^/]+\.dcm)$", re.IGNORECASE)
_GROUPS = {
    "N": "healthy",
    "HYP": "hypertrophy",
    "HF-I": "heart failure with infarction",
    "HF-NI": "heart failure without infarction",
}
"""By the letters in a patient's original name, as ``SC-HF-I-01``."""


def lay(files: Mapping[str, Path], folder: Path, most_bytes: int) -> None:
    """Of each patient the first phase of the short-axis cine, as a DICOM folder, and ``labels.csv`` with the group."""
    groups = _groups(files[_PATIENTS])
    everything = folder / "unpacked"
    for name, archive in files.items():
        if name != _PATIENTS:
            unpack(archive, everything, _place, most_bytes)
    rows = []
    for patient in sorted(everything.glob("*")):
        group = groups.get(patient.name)
        if group is None:
            raise UserError(f"{_PATIENTS}: says no group of {patient.name}")
        scan = folder / "images" / patient.name
        scan.mkdir(parents=True)
        series = max(sorted(patient.iterdir()), key=lambda series: len(list(series.iterdir())))
        for file in _first_phase(sorted(series.iterdir())):
            file.rename(scan / file.name)
        rows.append((f"images/{patient.name}", list(_GROUPS).index(group)))
    if not rows:
        raise UserError("the archives hold no short-axis cine (SCD0000101/CINESAX_300/*.dcm)")
    _remove(everything)
    write_table(folder, rows, list(_GROUPS.values()))


def _place(name: str) -> str | None:
    match = _SLICE.search(name)
    return "/".join(match.group("patient", "series", "file")) if match else None


def _groups(table: Path) -> dict[str, str]:
    """The group of each patient."""
    rows, problems = read_table(table, ("PatientID", "OriginalID"))
    if problems:
        raise UserError(f"{table}: {problems[0].reason}")
    matches = {row.cells["PatientID"]: re.fullmatch(r"SC-([A-Z-]+)-\d+", row.cells["OriginalID"]) for row in rows}
    return {patient: match[1] for patient, match in matches.items() if match and match[1] in _GROUPS}


def _first_phase(files: Sequence[Path]) -> list[Path]:
    """Of the frames of a cine the one at each place that comes first after the heart's trigger."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    places: dict[tuple[float, ...], list[tuple[float, str, Path]]] = defaultdict(list)
    for file in files:
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True)
            place = tuple(round(float(value), 2) for value in header.ImagePositionPatient)
        except (InvalidDicomError, AttributeError, TypeError, EOFError) as error:
            raise UserError(f"{file.name}: is no slice of a cine ({error})") from error
        places[place].append((_time(header), file.name, file))
    return [min(frames)[2] for frames in places.values()]


def _time(header: pydicom.Dataset) -> float:
    """After the trigger in ms, or the number of the frame."""
    time = header.get("TriggerTime", header.get("InstanceNumber"))
    return float("inf") if time is None else float(time)


def _remove(everything: Path) -> None:
    """The other phases: nobody else's files."""
    for path in sorted(everything.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    everything.rmdir()


SETS = (
    OpenSet(
        name="sunnybrook",
        title="Sunnybrook Cardiac Data",
        laid_as="folder",
        modality="MR (cine)",
        cases=45,
        subjects=45,
        licence="CC0",
        non_commercial=False,
        source="https://www.cardiacatlas.org/sunnybrook-cardiac-data",
        good_for="classification of hearts into four groups, where cases are few",
        known=(
            "45 people, 9 to 12 of a group: one split says little, cross-validate",
            "slices 8 mm and more apart; of 20 phases the first is laid, near the end of diastole",
            "series of one study share their identifier; its contours name slices by other numbers than its files, and "
            "are not laid here",
        ),
        download_gb=2.3,
        disk_gb=2.5,
        folder="sunnybrook",
        # Addresses and hashes as torch-em's data set `scd` has them.
        remote=at(
            RemoteFile(
                "SCD_IMAGES_01.zip",
                f"{_SERVER}?id=98&token=kUVtCTMzfjlHwunzFYST7yNGFnlUtV7W&download",
                "sha256:708ce04db1ac33948a00b9052d44e9548c6807121a4841f4c35080d6db127b72",
            ),
            RemoteFile(
                "SCD_IMAGES_02.zip",
                f"{_SERVER}?id=99&token=2euh4WH03DynHi9Y5elb2HSWJaJIeWER&download",
                "sha256:ea97bd11dfc1154bdcf02b6466c00637bc7e0dc04b5ddc3d94d68a7cd7a3e6a5",
            ),
            RemoteFile(
                "SCD_IMAGES_03.zip",
                f"{_SERVER}?id=100&token=eT37AbXslu1JQp1GSZy2BmmWzWmXDdfx&download",
                "sha256:5b065fadef1b523bbabfec0d85327f375f743f2dd72810a5927b21b834b45deb",
            ),
            RemoteFile(
                "SCD_IMAGES_04.zip",
                f"{_SERVER}?id=101&token=Qn0dY2lHTyTIBF5qNHRkbHdUSnWnS4Yy&download",
                "sha256:2a8d7054d9b89b5af4c9764b4b04eecee57b61b71b69f5ac69ec12629e9a615c",
            ),
            RemoteFile(
                "SCD_IMAGES_05.zip",
                f"{_SERVER}?id=102&token=nYALJl6kS6cj5jgK9R8CKDpgQwZn1pm3&download",
                "sha256:e65a818fe89c665c344317222a052360e210936c81f89ceb9d36e8e3c6e2d6e9",
            ),
            RemoteFile(
                _PATIENTS,
                f"{_SERVER}?id=66&token=Y1D66ieUdbXFlqmZ4icHJheJy44MXUPY&download",
                "sha256:c39eb11924d021e8ec51bb984daa57d1adadcc8eb7e342640181ce151dae5ded",
            ),
        ),
        lay=lay,
        settings=("data.folder-sunnybrook.intensity=mr",),
    ),
)
