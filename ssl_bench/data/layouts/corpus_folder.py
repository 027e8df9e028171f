"""A pre-training corpus from a folder of scans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.io.formats import find_volumes
from ssl_bench.data.layouts.folders import existing_folder, in_order
from ssl_bench.data.layouts.identifiers import scan_identifiers
from ssl_bench.data.layouts.tables import named_scans, read_table
from ssl_bench.errors import UserError

CORPUS_PREPROCESSING = Preprocessing(intensity="ct", region="whole")

_LABEL_FILE = re.compile(r"[._](label|seg)\.[a-z]+(\.gz)?$", re.IGNORECASE)


def find_corpus(folder: Path, listing: Path | None = None) -> Found:
    """Unlabelled cases (class 0): every volume below `folder`, or those that `listing` names.

    `listing` is a CSV whose column ``path`` is relative to `folder`. Without one, label files that lie beside their
    scans are passed over: names that end in ``.label``, ``_label``, ``.seg`` or ``_seg`` before the suffix, as
    ImageCAS' ``1.label.nii.gz``. Raises UserError for a folder or listing that is not there, and for a folder below
    that may not be read.
    """
    existing_folder(folder)
    if listing is None:
        volumes = [path for path in find_volumes(folder) if not _LABEL_FILE.search(path.name)]
        missing = "holds no volume; expected .nii, .nii.gz, .nrrd, .mha, .mhd or DICOM files, at any depth"
        return Found(_cases(volumes, folder), [] if volumes else [Problem(folder, missing)])
    if not listing.is_file():
        raise UserError(f"{listing}: no such file; name a CSV with the column path")
    rows, problems = read_table(listing, ("path",))
    scans, unusable = named_scans(listing, rows, "path", folder)
    return Found(_cases([scan for _, scan in scans], folder), problems + unusable)


def _cases(volumes: Sequence[Path], folder: Path) -> list[SourceCase]:
    identifiers = scan_identifiers(volumes, folder)
    return in_order(SourceCase(name, path, 0, name) for name, path in zip(identifiers, volumes, strict=True))
