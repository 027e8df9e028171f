"""How preparing scales: cases in a second with one worker and with two, and their ratio.

``taskset -c 0,1 python benchmarks/prepare.py [CASES]`` on an otherwise idle machine.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from ssl_bench.datasets.preparing.prepared import prepare
from ssl_bench.datasets.preparing.recipe import Recipe
from ssl_bench.datasets.source import SourceCase

SHAPE = (300, 512, 512)
SPACING_MM = (0.7, 0.45, 0.45)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    recipe = Recipe(intensity="ct", region="whole")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = [SourceCase(f"case{index}", _scan(folder, index), 0, str(index)) for index in range(count)]
        seconds = {}
        for workers in (1, 2):
            os.environ["SSL_BENCH_CACHE"] = str(folder / f"cache{workers}")
            start = time.perf_counter()
            _, problems = prepare(cases, recipe, None, workers, lambda words: None)
            seconds[workers] = time.perf_counter() - start
            assert not problems
            print(f"workers {workers}: {seconds[workers]:.1f} s, {count / seconds[workers]:.2f} cases/s")
        print(f"ratio {seconds[1] / seconds[2]:.2f}")


def _scan(folder: Path, index: int) -> Path:
    """A gzipped CT with as much noise as a real one has."""
    voxels = np.random.default_rng(index).normal(0, 30, SHAPE).astype(np.int16)
    image = nib.Nifti1Image(voxels.T, np.diag([*SPACING_MM[::-1], 1.0]))
    nib.save(image, folder / f"{index}.nii.gz")
    return folder / f"{index}.nii.gz"


if __name__ == "__main__":
    main()
