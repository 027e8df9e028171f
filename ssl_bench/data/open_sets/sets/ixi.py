"""IXI (brain-development.org): T1 of healthy people, laid as a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ssl_bench.data.open_sets.declaration import OpenSet, RemoteFile, at
from ssl_bench.data.open_sets.unpacking import unpack


def lay(files: Mapping[str, Path], folder: Path, most_bytes: int) -> None:
    """The scans under their names, which begin with the subject: ``IXI002-Guys-0828-T1.nii.gz``."""
    for archive in files.values():
        unpack(archive, folder, _place, most_bytes)


def _place(name: str) -> str | None:
    file = name.rpartition("/")[2]
    return file if file.endswith("-T1.nii.gz") else None


SETS = (
    OpenSet(
        name="ixi-t1",
        title="IXI, T1",
        laid_as="corpus",
        modality="MR (T1)",
        cases=581,
        subjects=581,
        licence="CC BY-SA 3.0",
        non_commercial=False,
        source="https://brain-development.org/ixi-dataset",
        good_for="a corpus of whole heads for tasks on brain MR",
        known=(
            "three hospitals with a scanner each, at 1.5 and 3 T: place, scanner and field strength cannot be told "
            "apart",
        ),
        download_gb=4.6,
        disk_gb=5,
        folder="ixi-t1",
        remote=at(
            RemoteFile(
                "IXI-T1.tar",
                "http://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI/IXI-T1.tar",
                "md5:34901a0593b41dd19c1a1f746eac2d58",  # By TorchIO's IXI data set.
            )
        ),
        lay=lay,
        settings=("data.corpus.intensity=mr",),
    ),
)
