"""How preparing scales: scans in a second with one worker and with two."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.tables import Row, Table
from benchmarks.timing import Options
from ssl_bench.api.cases import SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.preprocessing.prepared import prepare

SHAPE, SMALL = (300, 512, 512), (30, 48, 48)
SPACING_MM = (0.7, 0.45, 0.45)
SCANS = 8


def measure(options: Options) -> list[Table]:
    shape, preprocessing = SMALL if options.quick else SHAPE, Preprocessing(intensity="ct", region="whole")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = [SourceCase(f"case{i}", _scan(folder, i, shape), 0, str(i)) for i in range(SCANS)]
        for workers in (1, 2):
            os.environ["SSL_BENCH_CACHE"] = str(folder / f"cache{workers}")
            start = time.perf_counter()
            _, problems = prepare(cases, preprocessing, None, workers, lambda words: None)
            seconds = time.perf_counter() - start
            assert not problems
            rows.append({"workers": workers, "seconds": seconds, "scans a second": SCANS / seconds})
            rows[-1]["times as fast as one"] = rows[0]["seconds"] / seconds
    return [{"title": f"Preparing {SCANS} scans of {' x '.join(map(str, shape))}", "rows": rows}]


def _scan(folder: Path, index: int, shape: tuple[int, ...]) -> Path:
    """A gzipped CT with as much noise as a real one has."""
    voxels = np.random.default_rng(index).normal(0, 30, shape).astype(np.int16)
    image = nib.Nifti1Image(voxels.T, np.diag([*SPACING_MM[::-1], 1.0]))
    nib.save(image, folder / f"{index}.nii.gz")
    return folder / f"{index}.nii.gz"
