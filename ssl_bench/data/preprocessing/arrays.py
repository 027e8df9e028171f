"""One case from its files to the array that the network sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_bench.api.cases import Case, Doubt, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.io.formats import read_volume
from ssl_bench.data.io.volume import Volume
from ssl_bench.data.preprocessing.channels import Channel, ChannelReport, doubts_about, of_one, read_channels
from ssl_bench.data.preprocessing.contrast import HU_OFFSET, Contrast, doubts_of
from ssl_bench.data.preprocessing.labels import (
    LabelRule,
    Labels,
    lost_values,
    of_a_class,
    on_same_grid,
    read_classes,
    require_same_grid,
    require_same_names,
    without_class,
)
from ssl_bench.data.preprocessing.lungs import Lungs, lung_mask
from ssl_bench.data.preprocessing.resampling import Box, Grid
from ssl_bench.data.preprocessing.signature import Signature
from ssl_bench.errors import UserError

CT_RANGE = 2048.0
PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, eq=False)
class CaseReport:
    """What was noticed while a case was prepared. Shape and spacing are those of the whole scan."""

    case: SourceCase
    shape: tuple[int, int, int]
    """(D, H, W)."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W)."""
    channels: tuple[ChannelReport, ...]
    """Those that are there."""
    label_voxels: dict[int, int]
    """How many voxels hold each value of the label file; empty without one."""
    has_class: bool
    """Whether a voxel of the scan is of a class, or the whole of it is."""
    steps: tuple[float | None, ...]
    """Of every channel, how many of the file's whole numbers make up 1 of the prepared image; None where the file holds
    fractions, or was resampled."""
    notes: tuple[str, ...]
    """What a user should know about this case, one line each."""
    doubts: tuple[Doubt, ...]

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """Of every channel that is there."""
        return tuple(channel.signature for channel in self.channels)

    @property
    def label_ml(self) -> dict[int, float]:
        """The volume of each value of the label file."""
        return {value: count * prod(self.spacing_mm) / 1000 for value, count in self.label_voxels.items()}


def prepare_case(case: SourceCase, preprocessing: Preprocessing, rule: LabelRule | None) -> tuple[Case, CaseReport]:
    """Read a case, keep the region that `preprocessing` names, resample it and bring its intensities to [0, 1].

    Without a `rule` label files are left alone, and there are no classes. Only the kept region is ever held as float32.
    The range of an MR scan is that of the kept region. Raises UserError that names the file, and `LabelMapError` for a
    label map among scans. A channel that is missing, where it may be, is 0 everywhere.
    """
    channels = read_channels(case, preprocessing)
    scan = channels[0].scan
    labels = _read_labels(case, scan, rule, preprocessing)
    grid = Grid.over(scan.voxels.shape, scan.spacing_mm, preprocessing.spacing_mm)
    lungs = _lungs(channels, preprocessing) if preprocessing.region == "lungs" else None
    box = _kept(case, grid, preprocessing, rule, labels, lungs)
    outside = None if lungs is None else grid.read(lungs.mask.view(np.uint8), box, "nearest") == 0
    images: list[NDArray[np.float32] | None] = [None] * preprocessing.channel_count
    steps: list[float | None] = [None] * preprocessing.channel_count
    reports: list[ChannelReport] = []
    doubts: list[Doubt] = []
    for channel in channels:
        alone = preprocessing.of_channel(channel.number)
        image, unit = normalised(grid.read(channel.scan.voxels, box, "linear"), alone, channel.path)
        contrast, values = Contrast.of(image), channel.values
        if outside is not None:
            image[outside] = 0
        images[channel.number] = image
        if channel.scan.voxels.dtype.kind in "iu" and grid.step == (1.0, 1.0, 1.0):
            steps[channel.number] = unit
        found = ChannelReport(channel.name, alone.intensities[0], (values.low, values.high), contrast, channel.outline)
        reports.append(found)
        doubts += [of_one(doubt, channel, preprocessing) for doubt in doubts_of(values, contrast, alone)]
    label: NDArray[np.uint8 | np.uint16] | int | float = 0 if isinstance(case.label, Path) else case.label
    if labels is not None:
        label = grid.read(labels.classes, box, "nearest")
        if of_a_class(labels.classes).any() and not of_a_class(label).any():
            raise UserError(f"{case.label}: no class is left after cropping and resampling; choose another region")
        doubts += _of_lost_classes(labels, label, rule)
        label = _padded(label, preprocessing)
    depth, height, width = scan.voxels.shape
    report = CaseReport(
        case,
        (depth, height, width),
        scan.spacing_mm,
        tuple(reports),
        label_voxels=labels.voxels if labels else {},
        has_class=bool(of_a_class(label).any()),
        steps=tuple(steps),
        notes=(*_notes(channels), *(labels.notes if labels else ()), *((lungs.note,) if lungs else ())),
        doubts=(*doubts, *(lungs.doubts if lungs else ()), *doubts_about(case, preprocessing, channels)),
    )
    return Case(case.identifier, _padded(_stacked(images), preprocessing), label, grid.spacing_mm), report


def _stacked(images: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    """(D, H, W) of one channel, (C, D, H, W) of several, 0 where one is None."""
    (some, *_) = (image for image in images if image is not None)
    if len(images) == 1:
        return some
    return np.stack([np.zeros_like(some) if image is None else image for image in images])


def _notes(channels: Sequence[Channel]) -> tuple[str, ...]:
    """What is suspicious about the files, each note with the channels' names where there are several."""
    names: dict[str, list[str]] = {}
    for channel in channels:
        for note in channel.scan.notes:
            names.setdefault(note, []).append(channel.name)
    return tuple(f"{', '.join(which)}: {note}" if any(which) else note for note, which in names.items())


def _read_labels(case: SourceCase, scan: Volume, rule: LabelRule | None, preprocessing: Preprocessing) -> Labels | None:
    if rule is None or not isinstance(case.label, Path):
        return None
    label = _label_on(scan, case.image, case.label, preprocessing)
    labels = read_classes(label.voxels, rule, case.label)
    require_same_names(labels, label.value_names, rule, case.label)
    return labels._replace(notes=(*(f"label: {note}" for note in label.notes), *labels.notes))


def _of_lost_classes(labels: Labels, kept: NDArray[Any], rule: LabelRule | None) -> list[Doubt]:
    """A doubt about classes that fall between the voxels that are `kept`, or lie outside of the region."""
    lost = lost_values(labels, kept, rule) if rule else []
    if not lost:
        return []
    sizes = ", ".join(f"value {value}, voxels: {labels.voxels[value]}" for value in lost[:3])
    what = "a class of the label is gone once it is cropped and resampled, and counts as not there"
    return [Doubt(what, sizes, "keep it with a finer --set data.TASK.spacing_mm, or another region")]


def _kept(
    case: SourceCase,
    grid: Grid,
    preprocessing: Preprocessing,
    rule: LabelRule | None,
    labels: Labels | None,
    lungs: Lungs | None,
) -> Box:
    """The box of the grid that is kept. Raises UserError where there is nothing to crop to."""
    if lungs is not None:
        return grid.around(lungs.mask, preprocessing.margin_mm)
    if preprocessing.region == "centre":
        return grid.centre(preprocessing.size)
    if preprocessing.region == "whole":
        return grid.whole()
    if labels is None or rule is None:
        raise UserError(f"{case.image}: has no label to crop to; choose another region")
    inside = of_a_class(labels.classes)
    if not inside.any():
        raise UserError(
            f"{case.label}: {without_class(rule)} to crop to; name the right label file, or keep whole scans with "
            "--set data.TASK.region=whole"
        )
    return grid.around(inside, preprocessing.margin_mm)


def _lungs(channels: Sequence[Channel], preprocessing: Preprocessing) -> Lungs:
    """Those that the first CT channel shows."""
    computed = [channel for channel in channels if preprocessing.intensities[channel.number] == "ct"]
    if not computed:
        raise UserError(
            f"{channels[0].path}: lungs are found in CT alone; --set data.TASK.intensity=ct or choose another region"
        )
    image, path = computed[0].scan, computed[0].path
    shift = preprocessing.intensity_offset - HU_OFFSET
    voxels = image.voxels if shift == 0 else np.add(image.voxels, shift, dtype=np.float32)
    try:
        return lung_mask(voxels, image.spacing_mm, preprocessing.lungs)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def normalised(
    image: NDArray[np.float32], preprocessing: Preprocessing, path: Path
) -> tuple[NDArray[np.float32], float]:
    """Bring the intensities of one channel to [0, 1] in place, as the volumes are large; and what 1 was before.

    `preprocessing` is that of the channel. Raises UserError if they all become the same.
    """
    found = image.min(), image.max()
    (intensity,) = preprocessing.intensities
    if intensity == "ct":
        image += preprocessing.intensity_offset
        low, high = np.float32(0), np.float32(CT_RANGE)
    elif intensity == "mr":
        np.maximum(image, 0, out=image)
        low, high = image.min(), image.max()
    elif intensity == "percentile":
        low, high = np.percentile(image, PERCENTILES).astype(np.float32)
    else:
        low, high = np.float32(0), np.float32(1)
    if intensity != "none":
        np.clip(image, low, high, out=image)
    if image.min() == image.max():
        raise UserError(_without_contrast(found, intensity, path))
    if low:
        image -= low
    image /= high - low
    return image, float(high - low)


def _padded(volume: NDArray[Any], preprocessing: Preprocessing) -> NDArray[Any]:
    """Zeros around what is smaller than the centred box."""
    if preprocessing.region != "centre":
        return volume
    missing = [max(0, wanted - n) for wanted, n in zip(preprocessing.size, volume.shape[-3:], strict=True)]
    around = [(each // 2, each - each // 2) for each in missing]
    return np.pad(volume, [(0, 0)] * (volume.ndim - 3) + around)


def _label_on(image: Volume, image_path: Path, path: Path, preprocessing: Preprocessing) -> Volume:
    """The label file on its image's grid."""
    label = read_volume(path)
    if preprocessing.label_header == "image" and not on_same_grid(image, label):
        return read_volume(path, image.file_grid)
    require_same_grid(image, label, image_path, path, "--set data.TASK.label_header=image")
    return label


def _without_contrast(found: tuple[Any, Any], intensity: str, path: Path) -> str:
    becomes = {
        "ct": "one value in the CT recipe; correct --set data.TASK.intensity_offset, or use intensity=percentile",
        "mr": "all 0 once negatives are 0; use --set data.TASK.intensity=percentile",
        "percentile": "one value between its percentiles; use --set data.TASK.intensity=mr",
        "none": "one value; replace the file",
    }[intensity]
    return f"{path}: the kept region, values from {found[0]:g} to {found[1]:g}, becomes {becomes}, or another region"
