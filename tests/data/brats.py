"""A data set of four MR channels in nnU-Net's layout, as BraTS is kept there: tiny heads with a tumour."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
LABELS: Mapping[str, Any] = {"background": 0, "edema": 1, "necrosis": 2, "enhancing": 3}
SIDE = 24
_TISSUES = {  # What brain, fluid, edema, necrosis and enhancing tumour look like.
    "T1": (600, 200, 450, 300, 450),
    "T1ce": (600, 200, 450, 300, 1000),
    "T2": (500, 1200, 900, 1000, 700),
    "FLAIR": (500, 150, 1000, 500, 800),
}


def write_brats(
    root: Path,
    cases: int = 10,
    test: int = 0,
    missing: Collection[tuple[int, str]] = (),
    channels: tuple[str, ...] = CHANNELS,
    **description: Any,
) -> list[str]:
    """Fill `root` and return the cases' identifiers; `test` more cases lie in ``imagesTs`` and ``labelsTs``.

    `missing` names a case by its number and a channel of which no file is written; `description` changes fields of
    ``dataset.json``, as ``labels`` and ``regions_class_order`` for regions. Label files hold 0 to 3.
    """
    names = [f"BRATS_{n + 1:03d}" for n in range(cases + test)]
    for n, name in enumerate(names):
        images, labels = head(n, channels)
        part = "Tr" if n < cases else "Ts"
        for index, channel in enumerate(channels):
            if (n, channel) not in missing:
                save(root / f"images{part}" / f"{name}_{index:04d}.nii.gz", images[channel])
        save(root / f"labels{part}" / f"{name}.nii.gz", labels)
    described = {
        "channel_names": {str(index): channel for index, channel in enumerate(channels)},
        "labels": dict(LABELS),
        "numTraining": cases,
        "file_ending": ".nii.gz",
        **description,
    }
    (root / "dataset.json").write_text(json.dumps(described))
    return names


def head(number: int, channels: tuple[str, ...] = CHANNELS) -> tuple[dict[str, NDArray[np.int16]], NDArray[np.uint8]]:
    """The channels of one head, int16, and its labels, uint8, (D, H, W) of side `SIDE`: each number another person."""
    rng = np.random.default_rng(number)
    place = (np.indices((SIDE,) * 3) + 0.5) / SIDE - 0.5
    inside = np.sqrt(((place / rng.uniform(0.38, 0.46, (3, 1, 1, 1))) ** 2).sum(0)) < 1
    texture = ndimage.gaussian_filter(rng.normal(size=(SIDE,) * 3), 1.5)
    centre = rng.uniform(-0.15, 0.15, (3, 1, 1, 1))
    reach = np.sqrt(((place - centre) ** 2).sum(0)) + 0.1 * texture
    labels = np.select([reach < 0.07, reach < 0.13, reach < 0.2], [2, 3, 1]) * inside
    tissue = np.select([labels == 1, labels == 2, labels == 3, texture > 0.05], [2, 3, 4, 1], 0)
    images = {}
    for channel in channels:
        image = np.array(_TISSUES[channel])[tissue] * (1 + texture) + rng.normal(0, 15, (SIDE,) * 3)
        images[channel] = (image * inside).round().clip(0).astype(np.int16)
    return images, labels.astype(np.uint8)


def save(path: Path, voxels: NDArray[Any], spacing_mm: float = 2.0) -> None:
    """NIfTI of an isotropic spacing, axes as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels.T, np.diag([spacing_mm] * 3 + [1.0])), path)
