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


def find_corpus(root: Path) -> Found:
    """Unlabelled cases (class 0): every volume below a folder, or those that a CSV names.

    The CSV's column ``path`` is relative to the CSV's own folder. In a folder, label files that lie beside their scans
    are passed over: names that end in ``.label``, ``_label``, ``.seg`` or ``_seg`` before the suffix, as
    ImageCAS' ``1.label.nii.gz``. Raises UserError for a folder or listing that is not there, and for a folder below
    that may not be read.
    """
    if root.is_file() or (root.suffix.lower() == ".csv" and not root.is_dir()):
        return _listed(root)
    volumes = [path for path in find_volumes(existing_folder(root)) if not _LABEL_FILE.search(path.name)]
    missing = "holds no volume; expected .nii, .nii.gz, .nrrd, .mha, .mhd or DICOM files, at any depth"
    return Found(_cases(volumes, root), [] if volumes else [Problem(root, missing)])


def _listed(table: Path) -> Found:
    if not table.is_file():
        raise UserError(f"{table}: no such file; name a CSV with the column path")
    rows, problems = read_table(table, ("path",))
    scans, unusable = named_scans(table, rows, "path", table.parent)
    return Found(_cases([scan for _, scan in scans], table.parent), problems + unusable)


def _cases(volumes: Sequence[Path], folder: Path) -> list[SourceCase]:
    identifiers = scan_identifiers(volumes, folder)
    return in_order(SourceCase(name, path, 0, name) for name, path in zip(identifiers, volumes, strict=True))
