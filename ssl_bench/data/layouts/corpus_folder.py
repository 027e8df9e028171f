"""A pre-training corpus from a folder of scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.io.formats import find_volumes
from ssl_bench.data.layouts.folders import existing_folder, in_order
from ssl_bench.data.layouts.identifiers import scan_identifiers
from ssl_bench.data.layouts.label_names import named_label_maps
from ssl_bench.data.layouts.tables import named_scans, patient_column, read_table
from ssl_bench.errors import UserError

CORPUS_PREPROCESSING = Preprocessing(intensity="ct", region="whole")
NOBODY: Mapping[Path, str] = {}
"""Of no scan it is known who was scanned."""


def find_corpus(root: Path, take_labels: bool = False) -> Found:
    """Unlabelled cases (class 0): every volume below a folder, or those that a CSV names.

    The CSV's column ``path`` is relative to the CSV's own folder; another may say who was scanned, see
    `patient_column`. In a folder, label files that lie beside their scans are label maps by their names: a scan's name
    and ``label``, ``seg`` or the like, as ImageCAS' ``1.img.nii.gz`` and ``1.label.nii.gz``. The others are told by
    their voxels when they are read. With `take_labels` every volume is a scan. Raises UserError for a folder or listing
    that is not there, and for a folder below that may not be read.
    """
    if root.is_file() or (root.suffix.lower() == ".csv" and not root.is_dir()):
        return _listed(root, take_labels)
    volumes = find_volumes(existing_folder(root))
    label_maps = [] if take_labels else named_label_maps(volumes)
    left_out = {problem.path for problem in label_maps}
    missing = "holds no volume; expected .nii, .nii.gz, .nrrd, .mha, .mhd or DICOM files, at any depth"
    return Found(
        _cases([path for path in volumes if path not in left_out], root, take_labels),
        [] if volumes else [Problem(root, missing)],
        label_maps,
    )


def _listed(table: Path, take_labels: bool) -> Found:
    if not table.is_file():
        raise UserError(f"{table}: no such file; name a CSV with the column path")
    rows, problems = read_table(table, ("path",))
    scans, unusable = named_scans(table, rows, "path", table.parent)
    try:
        column = patient_column(rows[0].cells if rows else ())
    except ValueError as error:
        return Found([], [*problems, Problem(table, str(error))])
    patients = {scan: row.cells[column] for row, scan in scans if column and row.cells[column]}
    return Found(_cases([scan for _, scan in scans], table.parent, take_labels, patients), problems + unusable)


def _cases(
    volumes: Sequence[Path], folder: Path, take_labels: bool, patients: Mapping[Path, str] = NOBODY
) -> list[SourceCase]:
    names = zip(scan_identifiers(volumes, folder), volumes, strict=True)
    return in_order(
        SourceCase(
            name,
            path,
            label=0,
            patient=patients.get(path, name),
            patient_is_known=path in patients,
            may_be_label_map=not take_labels,
        )
        for name, path in names
    )
