"""TotalSegmentator v2 (Wasserthal et al., Radiology: Artificial Intelligence 2023): CT of every region, as a corpus."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ssl_bench.data.open_sets.declaration import OpenSet, RemoteFile, at
from ssl_bench.data.open_sets.unpacking import unpack

_SCAN = re.compile(r"(?:^|/)(?P<subject>s\d{4})/ct\.nii\.gz$")


def lay(files: Mapping[str, Path], folder: Path, most_bytes: int) -> None:
    """The scans alone, each under its subject: 117 masks lie beside every one in the archive."""
    for archive in files.values():
        unpack(archive, folder, _place, most_bytes)


def _place(name: str) -> str | None:
    match = _SCAN.search(name)
    return f"{match['subject']}.nii.gz" if match else None


SETS = (
    OpenSet(
        name="totalsegmentator-ct",
        title="TotalSegmentator v2, CT",
        laid_as="corpus",
        modality="CT",
        cases=1228,
        subjects=None,
        licence="CC BY 4.0",
        non_commercial=False,
        source="https://doi.org/10.5281/zenodo.10047292",
        good_for="a corpus of routine CT of all regions, for tasks on CT",
        known=(
            "resampled to 1.5 mm: finer structures are gone",
            "some of its masks are wrong (hearts in the abdomen, humeri: wasserth/TotalSegmentator, issues 245 and "
            "299); masks are not laid here",
        ),
        download_gb=23.6,
        disk_gb=30,
        folder="totalsegmentator-ct",
        remote=at(
            RemoteFile(
                "Totalsegmentator_dataset_v201.zip",
                "https://zenodo.org/records/10047292/files/Totalsegmentator_dataset_v201.zip?download=1",
                "md5:fe250e5718e0a3b5df4c4ea9d58a62fe",  # As its project's issues 245 and 299 name it.
            )
        ),
        lay=lay,
    ),
)
