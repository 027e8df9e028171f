"""Preparing and reading crops beside nnU-Net, on made-up scans of heads."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from benchmarks import nnunet, stores
from benchmarks.tables import Row, Table
from benchmarks.timing import Options
from ssl_bench.api.cases import SourceCase
from ssl_bench.data.preprocessing.labels import LabelRule

SPACINGS = {"made-up heads, resampled": (1.2, 1.2, 1.2), "made-up heads, whole numbers": (1.0, 1.0, 1.0)}
LABELS = {"background": 0, "inside": 1, "core": 2}


def tables(options: Options) -> list[Table]:
    shape, count = ((24, 30, 26), 3) if options.quick else ((110, 140, 110), 2)
    sides, windows = ((16,), 3) if options.quick else ((64, 128), 24)
    rows: list[Row] = []
    reached: list[Row] = []
    for title, spacing in SPACINGS.items():
        with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
            found = _heads(title, Path(name), shape, spacing, count)
            these = stores.compare(found, Path(name), sides, windows, rounds=1)
        rows += these
        reached += stores.targets(these)
    return [
        {"title": "Prepared cases beside nnU-Net's", "rows": rows},
        {"title": "Stores, targets", "rows": [*reached, *stores.total(rows)]},
    ]


def _heads(title: str, folder: Path, shape: tuple[int, ...], spacing: tuple[float, ...], count: int) -> stores.ScanSet:
    """Ellipsoids of textured tissue with the noise of a scan, 0 outside; prepared at 1 mm."""
    pairs = []
    for index in range(count):
        image, label = _head(np.random.default_rng(index), shape)
        for name, voxels in (("image", image), ("label", label)):
            nib.save(nib.Nifti1Image(voxels.T, np.diag([*spacing, 1.0])), folder / f"head{index}_{name}.nii.gz")
        pairs.append((folder / f"head{index}_image.nii.gz", folder / f"head{index}_label.nii.gz"))
    described = {"channel_names": {"0": "MR"}, "labels": LABELS, "file_ending": ".nii.gz"}
    nnunet.lay_raw(pairs, described, folder / "raw", "Dataset901_Heads")
    planned = nnunet.plan(folder / "raw", "Dataset901_Heads", folder / "planned")
    cases = [
        SourceCase(case, image, label, case) for case, (image, label) in zip(sorted(planned.files), pairs, strict=True)
    ]
    if spacing != (1.0, 1.0, 1.0):
        # The plan keeps the scans' spacing: both resample to 1 mm all the same.
        planned.configuration.configuration["spacing"] = [1.0, 1.0, 1.0]
    return stores.ScanSet(title, cases, LabelRule(values=(1, 2)), 1.0, planned)


def _head(generator: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes)) + 0.1 * ndimage.gaussian_filter(generator.normal(0, 8, shape), 6)
    texture = ndimage.gaussian_filter(generator.normal(0, 4000, shape), 3) + generator.normal(0, 30, shape)
    label = (radius < 0.9).astype(np.uint8) + (radius < 0.35)
    image = np.clip(900 + 400 * (label == 2) + texture, 1, 4000) * (label > 0)
    return image.astype(np.int16), label.astype(np.uint8)
