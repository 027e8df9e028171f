"""Reading: windows out of the memory-mapped cache beside what a step needs, and resampling beside SciPy's ways."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.stepping import Stepper, native_precision, plan
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, interleaved, ratio, spread
from ssl_bench.api.rng import numpy_generator
from ssl_bench.data.preprocessing.resampling import Grid
from ssl_bench.data.windows import Corpus

SPACING_MM = (0.7, 0.45, 0.45)


def measure(options: Options) -> list[Table]:
    edges = [(16, 24)] if options.quick else [(32, 48), (64, 96), (128, 192)]
    return [
        {"title": "Windows from the cache", "rows": [_windows(*edge, options) for edge in edges]},
        {"title": "Resampling a scan to 1 mm", "rows": _resampling(options)},
    ]


def _windows(crop: int, extent: int, options: Options) -> Row:
    """Against GVSL's step: few volumes a step, so that reading weighs most."""
    width = 8 if options.quick else 16
    step = Stepper(plan("gvsl", native_precision(options), [f"width={width}", f"pretraining.crop={crop}"]), options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, np.random.default_rng(0).random((8, extent, extent, extent), dtype=np.float32))
        corpus = Corpus(list(np.load(path, mmap_mode="r")), crop, options.device)

        def read() -> None:
            corpus.read(step.method.choose_windows(len(corpus), step.spec.batch, generator))

        generator = numpy_generator("benchmark")
        times = interleaved({"read": read, "step": step}, options)
    return {
        "windows": f"{crop}³ of {extent}³",
        "read in a second": spread([step.spec.batch / taken for taken in times["read"]]),
        f"needed in a second, GVSL, width {width}": spread([step.spec.batch / taken for taken in times["step"]]),
        "times what is needed": ratio(times["step"], times["read"]),
        "reading in % of the step": ratio(times["read"], times["step"], factor=100),
    }


def _resampling(options: Options) -> list[Row]:
    shape = (24, 40, 40) if options.quick else (256, 512, 512)
    scan = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 300, shape), 1).astype(np.int16)
    grid = Grid.over(shape, SPACING_MM, 1.0)
    ours = grid.read(scan, grid.whole(), "linear")
    matrix = np.diag(grid.step)

    def by_matrix() -> Any:
        return ndimage.affine_transform(
            scan, matrix, grid.first, output_shape=grid.shape, output=np.float32, order=1, mode="nearest"
        )

    def by_zoom() -> Any:
        return ndimage.zoom(
            scan, np.divide(grid.shape, shape), output=np.float32, order=1, mode="nearest", grid_mode=True
        )

    sides = {
        "ours": lambda: grid.read(scan, grid.whole(), "linear"),
        "scipy.ndimage.affine_transform, full matrix": by_matrix,
        "scipy.ndimage.zoom": by_zoom,
    }
    times = interleaved(sides, options)
    rows: list[Row] = []
    for name, side in list(sides.items())[1:]:
        rows.append(
            {
                "against": name,
                "seconds": spread(times["ours"]),
                "its seconds": spread(times[name]),
                "times as fast": ratio(times[name], times["ours"]),
                "largest difference": float(np.abs(side() - ours).max()),
            }
        )
    return rows
