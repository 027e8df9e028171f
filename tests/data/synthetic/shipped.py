"""The shipped anatomies as files that a user brings."""

from importlib import resources
from pathlib import Path
from typing import Literal

NAMES = {"chest": ("chest_ct.nii.gz", "heart_labels.nii.gz"), "brain": ("brain_t1.nii.gz", "brain_labels.nii.gz")}


def files_of(anatomy: Literal["chest", "brain"]) -> tuple[Path, Path]:
    """Image and labels."""
    folder = Path(str(resources.files("ssl_bench.data.synthetic.anatomies")))
    image, labels = NAMES[anatomy]
    return folder / image, folder / labels
