"""The shapes that cases will have once they are prepared, by the headers of their files alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssl_bench.api.cases import SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.sizing import Shape
from ssl_bench.errors import UserError


def shapes_by_headers(cases: Sequence[SourceCase], preprocessing: Preprocessing) -> list[Shape] | None:
    """The shape (D, H, W) of each of `cases` after `preprocessing`; None where only their voxels tell.

    So it is where cases are cropped to a label or to lungs, and for formats other than NIfTI. A file that cannot be
    read is left to who prepares it, who says what is wrong.
    """
    files = [next(path for path in case.images if path is not None) for case in cases]
    if preprocessing.region != "whole" or not files or not all(map(_is_nifti, files)):
        return None
    from ssl_bench.data.io.canonical import canonical_size  # Late, as every reader: who only looks starts light.
    from ssl_bench.data.io.nifti import read_nifti_grid
    from ssl_bench.data.preprocessing.resampling import Grid

    try:
        sizes = [canonical_size(read_nifti_grid(path)) for path in files]
    except (OSError, UserError):
        return None
    return [Grid.over(shape, spacing, preprocessing.spacing_mm).shape for shape, spacing in sizes]


def _is_nifti(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith((".nii", ".nii.gz"))
