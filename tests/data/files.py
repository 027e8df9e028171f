"""Small data sets on disk."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from ssl_bench.api.cases import SourceCase

Triple = tuple[float, float, float]


def save(path: Path, voxels: np.ndarray, spacing: Triple = (1.0, 1.0, 1.0), shift: Triple = (0.0, 0.0, 0.0)) -> Path:
    """A NIfTI file that reads as `voxels` (D, H, W) with that spacing, its first voxel at `shift` mm."""
    affine = np.diag([*spacing[::-1], 1.0])
    affine[:3, 3] = shift[::-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels.T, affine), path)
    return path


def ct(seed: int = 0, shape: tuple[int, int, int] = (12, 14, 16)) -> np.ndarray:
    """HU, from -1024 on, int16."""
    voxels = np.random.default_rng(seed).integers(-1000, 2000, shape).astype(np.int16)
    voxels[0, 0, 0] = -1024
    return voxels


def heart(shape: tuple[int, int, int] = (12, 14, 16), value: int = 500) -> np.ndarray:
    """A block of `value` from (3, 4, 5) to (8, 9, 10), int16."""
    labels = np.zeros(shape, np.int16)
    labels[3:8, 4:9, 5:10] = value
    return labels


def labelled(folder: Path, name: str = "a", seed: int = 0) -> SourceCase:
    """A small CT and its label file."""
    image = save(folder / f"{name}_image.nii", ct(seed))
    return SourceCase(name, image, save(folder / f"{name}_label.nii", heart()), patient=name)
