"""A pre-training corpus from a folder of scans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.io.formats import find_volumes
from ssl_bench.data.layouts.folders import existing_folder, in_order
from ssl_bench.data.layouts.identifiers import scan_identifiers
from ssl_bench.data.layouts.label_names import named_label_maps
from ssl_bench.data.layouts.numbered_files import numbered_files
from ssl_bench.data.layouts.tables import named_channels, patient_column, read_table
from ssl_bench.errors import UserError

CORPUS_PREPROCESSING = Preprocessing(intensity="ct", region="whole")
NOBODY: Mapping[Path, str] = {}
"""Of no scan it is known who was scanned."""


def find_corpus(root: Path, take_labels: bool = False, channels: Sequence[str] = ()) -> Found:
    """Unlabelled cases (class 0): every volume below a folder, or those that a CSV names.

    The CSV's column ``path`` is relative to the CSV's own folder; another may say who was scanned, see
    `patient_column`. In a folder, label files that lie beside their scans are label maps by their names: a scan's name
    and ``label``, ``seg`` or the like, as ImageCAS' ``1.img.nii.gz`` and ``1.label.nii.gz``. The others are told by
    their voxels when they are read. With `take_labels` every volume is a scan.

    Several `channels` of a scan are files ``CASE_0000``, ``CASE_0001``, ... beside each other, or the CSV's columns
    ``path_NAME``. Raises UserError for a folder or listing that is not there, and for a folder below that may not be
    read.
    """
    if root.is_file() or (root.suffix.lower() == ".csv" and not root.is_dir()):
        return _listed(root, take_labels, channels)
    volumes = find_volumes(existing_folder(root))
    label_maps = [] if take_labels else named_label_maps(volumes)
    left_out = {problem.path for problem in label_maps}
    missing = "holds no volume; expected .nii, .nii.gz, .nrrd, .mha, .mhd or DICOM files, at any depth"
    scans = [path for path in volumes if path not in left_out]
    if volumes and channels:
        grouped, problems, more = numbered_files(scans, len(channels))
        names = scan_identifiers([folder / f"{name}.nii.gz" for folder, name in grouped], root)
        cases = _channel_cases(names, grouped.values(), take_labels)
        return Found(cases, problems, [*label_maps, *more])
    return Found(_cases(scans, root, take_labels), [] if volumes else [Problem(root, missing)], label_maps)


def _listed(table: Path, take_labels: bool, channels: Sequence[str]) -> Found:
    if not table.is_file():
        raise UserError(f"{table}: no such file; name a CSV with the column path")
    columns = [f"path_{channel}" for channel in channels] or ["path"]
    rows, problems = read_table(table, columns)
    listed, unusable = named_channels(table, rows, columns, table.parent)
    shown = [next(filter(None, files)) for _, files in listed]
    try:
        column = patient_column(rows[0].cells if rows else ())
    except ValueError as error:
        return Found([], [*problems, Problem(table, str(error))])
    patients = {
        scan: row.cells[column] for scan, (row, _) in zip(shown, listed, strict=True) if column and row.cells[column]
    }
    cases = _cases(shown, table.parent, take_labels, patients)
    if channels:
        files_of = dict(zip(shown, (files for _, files in listed), strict=True))
        cases = [replace(case, channels=files_of[case.image]) for case in cases]
    return Found(cases, problems + unusable)


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


def _channel_cases(
    names: Sequence[str], files: Iterable[tuple[Path | None, ...]], take_labels: bool
) -> list[SourceCase]:
    return in_order(
        SourceCase(
            name,
            next(filter(None, of_case)),
            label=0,
            patient=name,
            patient_is_known=False,
            may_be_label_map=not take_labels,
            channels=of_case,
        )
        for name, of_case in zip(names, files, strict=True)
    )
