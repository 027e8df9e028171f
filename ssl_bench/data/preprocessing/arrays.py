"""One case from its files to the array that the network sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_bench.api.cases import SourceCase
from ssl_bench.api.recipe import Recipe
from ssl_bench.data.io.reading import read_volume
from ssl_bench.data.io.volume import Volume
from ssl_bench.data.preprocessing.labels import LabelRule, read_classes, require_same_grid
from ssl_bench.data.preprocessing.lungs import lung_mask
from ssl_bench.data.preprocessing.resampling import Grid
from ssl_bench.data.preprocessing.signature import Signature, signature
from ssl_bench.errors import UserError

PLAUSIBLE_MM = (0.1, 10.0)
"""Voxel sizes outside are taken for a broken header."""
HU_OFFSET = 1024.0
CT_RANGE = 2048.0


@dataclass(frozen=True, eq=False)
class RawCase:
    """A case as its files hold it, on canonical axes and found to make sense."""

    image: Volume
    value_range: tuple[float, float]
    classes: NDArray[np.uint8] | None
    """(D, H, W) on the image's grid; None without a label file."""
    label_voxels: dict[int, int]
    """How many voxels hold each value of the label file."""
    signature: Signature
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PreparedArrays:
    """A case as the network sees it."""

    image: NDArray[np.float32]
    """(D, H, W) in [0, 1], C-contiguous."""
    label: NDArray[np.uint8] | int
    """Class index per voxel (D, H, W), 0 is background; or the class of the whole volume."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W)."""
    notes: tuple[str, ...]
    """What a user should know about this case, one line each."""
    signature: Signature
    """Of the scan before anything was cropped or resampled."""


def read_case(case: SourceCase, recipe: Recipe, rule: LabelRule | None) -> RawCase:
    """Read a case; without a `rule` label files are left alone.

    Raises UserError that names the file for anything that stands in the way of preparing it, except that lungs are not
    looked for.
    """
    image = read_volume(case.image)
    _require_plausible(image, case.image)
    outline = signature(image.voxels)
    low, high = image.voxels.min().item(), image.voxels.max().item()
    if low == high:
        raise UserError(f"{case.image}: every voxel is {low:g}; replace the file or leave the case out")
    notes = _offset_notes(low, recipe)
    if rule is None or isinstance(case.label, int):
        if recipe.region == "label":
            raise UserError(f"{case.image}: has no label to crop to; choose another region")
        return RawCase(image, (low, high), None, {}, outline, notes)
    label = read_volume(case.label)
    require_same_grid(image, label, case.image, case.label)
    classes, voxels, label_notes = read_classes(label.voxels, rule, case.label)
    return RawCase(image, (low, high), classes, voxels, outline, notes + label_notes)


def prepare_case(case: SourceCase, recipe: Recipe, rule: LabelRule | None) -> PreparedArrays:
    """Read a case, keep the recipe's region, resample it and bring its intensities to [0, 1].

    Only the kept region is ever held as float32. The minimum and maximum of an MR scan are those of the kept region.
    Raises UserError that names the file.
    """
    raw = read_case(case, recipe, rule)
    voxels, notes, mask = raw.image.voxels, raw.notes, None
    grid = Grid.over(voxels.shape, raw.image.spacing_mm, recipe.spacing_mm)
    box = grid.whole()
    if recipe.region == "label" and raw.classes is not None:
        box = grid.around(raw.classes, recipe.margin_mm)
    elif recipe.region == "centre":
        box = grid.centre(recipe.size)
    elif recipe.region == "lungs":
        mask, found_by = _lungs(raw.image, recipe, case.image)
        box = grid.around(mask, recipe.margin_mm)
        notes += (f"lungs by {found_by}",)
    image = _normalised(grid.read(voxels, box, "linear"), recipe, case.image)
    if mask is not None:
        image[grid.read(mask.view(np.uint8), box, "nearest") == 0] = 0
    if isinstance(case.label, int) or raw.classes is None:
        label: NDArray[np.uint8] | int = case.label if isinstance(case.label, int) else 0
    else:
        label = grid.read(raw.classes, box, "nearest")
        if not label.any():
            raise UserError(f"{case.label}: no class is left after cropping and resampling; choose another region")
        label = _padded(label, recipe)
    return PreparedArrays(_padded(image, recipe), label, grid.spacing_mm, notes, raw.signature)


def _lungs(image: Volume, recipe: Recipe, path: Path) -> tuple[NDArray[np.bool_], str]:
    if recipe.intensity != "ct":
        raise UserError(f"{path}: lungs are found in CT alone; --set data.TASK.intensity=ct or choose another region")
    shift = recipe.intensity_offset - HU_OFFSET
    voxels = image.voxels if shift == 0 else np.add(image.voxels, shift, dtype=np.float32)
    try:
        return lung_mask(voxels, image.spacing_mm, recipe.lungs)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _normalised(image: NDArray[np.float32], recipe: Recipe, path: Path) -> NDArray[np.float32]:
    """In place: the volumes are large."""
    if recipe.intensity == "ct":
        image += recipe.intensity_offset
        np.clip(image, 0, CT_RANGE, out=image)
        image /= CT_RANGE
        return image
    np.maximum(image, 0, out=image)
    low, high = image.min(), image.max()
    if low == high:
        raise UserError(f"{path}: the kept region is all {low:g} once negatives are 0; choose another region or file")
    image -= low
    image /= high - low
    return image


def _padded(volume: NDArray[Any], recipe: Recipe) -> NDArray[Any]:
    """Zeros around what is smaller than the centred box."""
    if recipe.region != "centre":
        return volume
    missing = [max(0, wanted - n) for wanted, n in zip(recipe.size, volume.shape, strict=True)]
    return np.pad(volume, [(each // 2, each - each // 2) for each in missing])


def _require_plausible(image: Volume, path: Path) -> None:
    low, high = PLAUSIBLE_MM
    if min(image.spacing_mm) < low or max(image.spacing_mm) > high:
        found = " x ".join(f"{size:g}" for size in image.spacing_mm)
        raise UserError(f"{path}: voxels of {found} mm (D, H, W) cannot be; correct the spacing in the file's header")


def _offset_notes(low: float, recipe: Recipe) -> tuple[str, ...]:
    if recipe.intensity != "ct":
        return ()
    option = "data.TASK.intensity_offset"
    if recipe.intensity_offset >= HU_OFFSET and low >= 0:
        return (f"its smallest value is {low:g}: 1024 was probably added before, then --set {option}=0",)
    if recipe.intensity_offset == 0 and low < -1000:
        return (f"its smallest value is {low:g}: it probably holds HU, then --set {option}=1024",)
    return ()
