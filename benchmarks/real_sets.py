"""``python -m benchmarks.real_sets FOLDER ...``: the stores of `benchmarks.stores` on scans of your own.

A folder is a raw data set of nnU-Net's with one channel, or holds scans (``.nii.gz``) without labels. Nothing of it is
kept. --cases takes so many of each, evenly spaced.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import nnunet, stores
from benchmarks.tables import Row, table
from ssl_bench.api.cases import SourceCase
from ssl_bench.data.preprocessing.labels import LabelRule

ALIKE = 0.02
"""Spacings of a plan that differ by less are one."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_sets", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--cases", type=int, default=10**6)
    parser.add_argument("--windows", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--spacing", type=float, help="ours, in place of the plan's; then preparing is not comparable")
    options = parser.parse_args()
    rows: list[Row] = []
    for folder in options.folders:
        with tempfile.TemporaryDirectory() as name:
            found = scan_set(folder, Path(name), options.cases)
            if options.spacing:
                found = found._replace(spacing_mm=options.spacing)
            print(f"{found.name}: {len(found.cases)} cases, {found.planned.spacing_mm} mm", file=sys.stderr, flush=True)
            these = stores.compare(found, Path(name), (64, 128), options.windows, options.rounds)
        rows += these
        print(f"{table(these)}\n\n{table(stores.targets(these))}\n", flush=True)
    print(table(list(stores.total(rows))))


def scan_set(folder: Path, scratch: Path, most: int) -> stores.ScanSet:
    """The scans of a folder, and nnU-Net's plan for them."""
    images = sorted((folder / "imagesTr").glob("*_0000.nii.gz"))
    labelled = bool(images)
    images = images or sorted(folder.glob("*.nii.gz"))
    step = max(1, len(images) // most)
    images = images[::step][:most]
    if labelled:
        described = json.loads((folder / "dataset.json").read_text("utf-8"))
        labels = [folder / "labelsTr" / image.name.replace("_0000", "") for image in images]
        values = [value for value in described["labels"].values() if value]
        rule: LabelRule | None = LabelRule(values=tuple(values))
    else:  # The plan wants labels, and gets what is not 0.
        described = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "inside": 1}, "file_ending": ".nii.gz"}
        labels, rule = [_inside(image, scratch / "inside") for image in images], None
    name = folder.name if folder.name.startswith("Dataset") else "Dataset999_Corpus"
    nnunet.lay_raw(list(zip(images, labels, strict=True)), described, scratch / "raw", name)
    planned = nnunet.plan(scratch / "raw", name, scratch / "planned")
    spacing = planned.spacing_mm
    same = max(spacing) - min(spacing) < ALIKE * max(spacing)
    cases = [
        SourceCase(case, image, label if labelled else 0, case)
        for case, image, label in zip(planned.files, images, labels, strict=True)
    ]
    return stores.ScanSet(folder.name, cases, rule, round(float(np.mean(spacing)), 2) if same else None, planned)


def _inside(image: Path, folder: Path) -> Path:
    import nibabel as nib

    folder.mkdir(exist_ok=True)
    scan = nib.load(image)
    made = nib.Nifti1Image((np.asanyarray(scan.dataobj) > 0).astype(np.uint8), scan.affine)
    nib.save(made, folder / image.name)
    return folder / image.name


if __name__ == "__main__":
    main()
