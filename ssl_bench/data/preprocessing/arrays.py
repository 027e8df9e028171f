"""One case from its files to the array that the network sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_bench.api.cases import Case, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.io.formats import read_volume
from ssl_bench.data.io.volume import Volume
from ssl_bench.data.preprocessing.label_maps import LabelMapError, label_map_reason
from ssl_bench.data.preprocessing.labels import LabelRule, on_same_grid, read_classes, require_same_grid
from ssl_bench.data.preprocessing.lungs import lung_mask
from ssl_bench.data.preprocessing.resampling import Grid
from ssl_bench.data.preprocessing.signature import Signature, signature
from ssl_bench.errors import UserError

HU_OFFSET = 1024.0
CT_RANGE = 2048.0


@dataclass(frozen=True, eq=False)
class CaseReport:
    """What was noticed while a case was read, before anything was cropped or resampled."""

    case: SourceCase
    shape: tuple[int, int, int]
    """(D, H, W) of the scan."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W)."""
    value_range: tuple[float, float]
    label_voxels: dict[int, int]
    """How many voxels hold each value of the label file; empty without one."""
    notes: tuple[str, ...]
    """What a user should know about this case, one line each."""
    signature: Signature

    @property
    def label_ml(self) -> dict[int, float]:
        """The volume of each value of the label file."""
        return {value: count * prod(self.spacing_mm) / 1000 for value, count in self.label_voxels.items()}


def read_case(
    case: SourceCase, preprocessing: Preprocessing, rule: LabelRule | None
) -> tuple[Volume, NDArray[np.uint8] | None, CaseReport]:
    """The image on the canonical grid, the class of each voxel on it (D, H, W), and what was noticed.

    Without a `rule` label files are left alone, and there are no classes. Raises UserError that names the file for
    anything that stands in the way of preprocessing it, except that lungs are not looked for; and `LabelMapError` for a
    label map among scans.
    """
    image = read_volume(case.image)
    if case.may_be_label_map and (reason := label_map_reason(image.voxels)):
        raise LabelMapError(reason)
    _require_plausible(image, case.image, preprocessing.voxel_mm)
    outline = signature(image.voxels)
    low, high = image.voxels.min().item(), image.voxels.max().item()
    if low == high:
        raise UserError(f"{case.image}: every voxel is {low:g}; replace the file or leave the case out")
    notes = image.notes + _offset_notes(low, preprocessing)
    classes: NDArray[np.uint8] | None = None
    voxels: dict[int, int] = {}
    if rule is not None and isinstance(case.label, Path):
        label = _label_on(image, case.image, case.label, preprocessing)
        classes, voxels, label_notes = read_classes(label.voxels, rule, case.label)
        notes += (*(f"label: {note}" for note in label.notes), *label_notes)
    elif preprocessing.region == "label":
        raise UserError(f"{case.image}: has no label to crop to; choose another region")
    depth, height, width = image.voxels.shape
    report = CaseReport(case, (depth, height, width), image.spacing_mm, (low, high), voxels, notes, outline)
    return image, classes, report


def prepare_case(case: SourceCase, preprocessing: Preprocessing, rule: LabelRule | None) -> tuple[Case, CaseReport]:
    """Read a case, keep the region that `preprocessing` names, resample it and bring its intensities to [0, 1].

    Only the kept region is ever held as float32. The minimum and maximum of an MR scan are those of the kept region.
    Raises UserError that names the file.
    """
    scan, classes, report = read_case(case, preprocessing, rule)
    grid = Grid.over(scan.voxels.shape, scan.spacing_mm, preprocessing.spacing_mm)
    box, mask = grid.whole(), None
    if preprocessing.region == "label" and classes is not None:
        box = grid.around(classes, preprocessing.margin_mm)
    elif preprocessing.region == "centre":
        box = grid.centre(preprocessing.size)
    elif preprocessing.region == "lungs":
        mask, found_by = _lungs(scan, preprocessing, case.image)
        box = grid.around(mask, preprocessing.margin_mm)
        report = replace(report, notes=(*report.notes, f"lungs by {found_by}"))
    image = _normalised(grid.read(scan.voxels, box, "linear"), preprocessing, case.image)
    if mask is not None:
        image[grid.read(mask.view(np.uint8), box, "nearest") == 0] = 0
    label: NDArray[np.uint8] | int = case.label if isinstance(case.label, int) else 0
    if classes is not None:
        label = grid.read(classes, box, "nearest")
        if not label.any():
            raise UserError(f"{case.label}: no class is left after cropping and resampling; choose another region")
        label = _padded(label, preprocessing)
    return Case(case.identifier, _padded(image, preprocessing), label, grid.spacing_mm), report


def _lungs(image: Volume, preprocessing: Preprocessing, path: Path) -> tuple[NDArray[np.bool_], str]:
    if preprocessing.intensity != "ct":
        raise UserError(f"{path}: lungs are found in CT alone; --set data.TASK.intensity=ct or choose another region")
    shift = preprocessing.intensity_offset - HU_OFFSET
    voxels = image.voxels if shift == 0 else np.add(image.voxels, shift, dtype=np.float32)
    try:
        return lung_mask(voxels, image.spacing_mm, preprocessing.lungs)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _normalised(image: NDArray[np.float32], preprocessing: Preprocessing, path: Path) -> NDArray[np.float32]:
    """Bring the intensities to [0, 1] in place: the volumes are large."""
    if preprocessing.intensity == "ct":
        image += preprocessing.intensity_offset
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


def _padded(volume: NDArray[Any], preprocessing: Preprocessing) -> NDArray[Any]:
    """Zeros around what is smaller than the centred box."""
    if preprocessing.region != "centre":
        return volume
    missing = [max(0, wanted - n) for wanted, n in zip(preprocessing.size, volume.shape, strict=True)]
    return np.pad(volume, [(each // 2, each - each // 2) for each in missing])


def _label_on(image: Volume, image_path: Path, path: Path, preprocessing: Preprocessing) -> Volume:
    """The label file on its image's grid."""
    label = read_volume(path)
    if preprocessing.label_header == "image" and not on_same_grid(image, label):
        return read_volume(path, image.file_grid)
    require_same_grid(image, label, image_path, path, "--set data.TASK.label_header=image")
    return label


def _require_plausible(image: Volume, path: Path, limits_mm: tuple[float, float]) -> None:
    low, high = limits_mm
    if min(image.spacing_mm) < low or max(image.spacing_mm) > high:
        found = " x ".join(f"{size:g}" for size in image.spacing_mm)
        wider = f"[{min(low, *image.spacing_mm):.9g}, {max(high, *image.spacing_mm):.9g}]"
        raise UserError(
            f"{path}: voxels of {found} mm (D, H, W) are not within {low:g} to {high:g} mm; correct the spacing in the "
            f"file's header, or if they are so --set data.TASK.voxel_mm='{wider}'"
        )


def _offset_notes(low: float, preprocessing: Preprocessing) -> tuple[str, ...]:
    if preprocessing.intensity != "ct":
        return ()
    option = "data.TASK.intensity_offset"
    if preprocessing.intensity_offset >= HU_OFFSET and low >= 0:
        return (f"its smallest value is {low:g}: 1024 was probably added before, then --set {option}=0",)
    if preprocessing.intensity_offset == 0 and low < -1000:
        return (f"its smallest value is {low:g}: it probably holds HU, then --set {option}=1024",)
    return ()
