"""From a data set's own label values to class indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ssl_bench.api.cases import IGNORED, Problem, SourceCase, Voxels
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.settings import Settings
from ssl_bench.data.io.volume import Volume, voxels_apart
from ssl_bench.errors import UserError

_WIDEST = 2**16
"""Label values that lie further apart are no labels."""
_NEAR = 0.5
"""How far a label may lie from its image, in voxels."""
_NEARLY_WHOLE = 1e-3
"""Labels that a tool scaled, say into 16 bits with a slope, are whole numbers but for rounding."""


class LabelRule(Settings):
    """What the values of label files mean."""

    values: tuple[int, ...]
    """The value of class 1, of class 2 and so on."""
    synonyms: dict[int, int] = Field(default_factory=dict)
    """Stray values, and the values they stand for."""
    background: tuple[int, ...] = ()
    """Values that are no class, besides 0."""
    regions: tuple[tuple[int, ...], ...] = ()
    """The values of each region, where those may overlap; then a voxel's label has a bit for each."""
    ignored: int | None = None
    """The value of voxels that enter neither loss nor score; their label is `IGNORED`."""
    names: dict[int, str] = Field(default_factory=dict, exclude=True)
    """What the data set calls its values: files that call them otherwise are refused, others read the same."""

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialised: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came after the first cases were prepared say nothing at their defaults: the cache stays."""
        fields: dict[str, Any] = serialised(self)
        return {name: value for name, value in fields.items() if name not in ("regions", "ignored") or value}

    @classmethod
    def of(cls, dataset: Dataset) -> LabelRule | None:
        """The rule of a data set; None where a whole volume has one class."""
        if not dataset.label_values:
            return None
        return cls(
            values=dataset.label_values,
            synonyms=dict(dataset.label_synonyms),
            background=dataset.background_values,
            regions=dataset.label_regions,
            ignored=dataset.ignored_value,
            names=dict(dataset.value_names),
        )

    def classes(self) -> dict[int, int]:
        """The label (see `Case`) by label value, synonyms and background included."""
        index = dict.fromkeys((0, *self.background), 0)
        if self.regions:
            index |= {value: sum(1 << r for r, own in enumerate(self.regions) if value in own) for value in self.values}
        else:
            index |= {value: number for number, value in enumerate(self.values, 1)}
        if self.ignored is not None:
            index[self.ignored] = IGNORED
        return index | {stray: index[meant] for stray, meant in self.synonyms.items()}


class Labels(NamedTuple):
    """A label file, understood."""

    classes: NDArray[np.uint8 | np.uint16]
    """(D, H, W), 0 is background; 16 bits for more than 255 classes, for regions, and where voxels are ignored."""
    voxels: dict[int, int]
    """How many voxels hold each label value of the file."""
    notes: tuple[str, ...]
    """What was read as something else, and whether no class occurs."""


def read_classes(values: NDArray[Any], rule: LabelRule, path: Path) -> Labels:
    """The classes of a label volume (D, H, W), slice by slice so that memory stays that of the result.

    Raises UserError for values that are not whole, and for values that `rule` does not know.
    """
    low, high = round(float(values.min())), round(float(values.max()))
    if high - low >= _WIDEST:
        raise UserError(f"{path}: values from {low} to {high} are no labels; name the label file of the image")
    apart = _distance_to_whole(values, path)
    counts = np.zeros(high - low + 1, np.int64)
    for section in values:
        counts += np.bincount(_whole(section).ravel() - low, minlength=len(counts))
    voxels = {int(index) + low: int(counts[index]) for index in np.flatnonzero(counts)}
    index = rule.classes()
    unknown = [value for value in voxels if value not in index]
    if unknown:
        raise UserError(
            f"{path}: label values {_some(unknown)} belong to no class of the task ({_some(rule.values, 30)}) and not "
            "to the background; correct them in the file or leave the case out"
        )
    table = np.zeros(len(counts), np.uint8 if max(index.values()) < 256 and not rule.regions else np.uint16)
    for value in voxels:
        table[value - low] = index[value]
    classes = np.empty(values.shape, table.dtype)
    for section, target in zip(values, classes, strict=True):
        target[...] = table[_whole(section) - low]
    strays = {value: meant for value, meant in rule.synonyms.items() if value in voxels}
    notes = [f"{value} read as {meant} (voxels: {voxels[value]})" for value, meant in strays.items()]
    if apart:
        notes.append(f"label values up to {apart:.1g} off whole numbers, rounded")
    if rule.ignored in voxels:
        notes.append(f"{rule.ignored} is ignored (voxels: {voxels[rule.ignored]} of {values.size})")
    if not any(index[value] not in (0, IGNORED) for value in voxels):
        notes.append(without_class(rule))
    return Labels(classes, voxels, tuple(notes))


def require_same_names(labels: Labels, names: Mapping[int, str], rule: LabelRule, path: Path) -> None:
    """Raise UserError where the file at `path` has voxels of a value that it names as the data set names another."""
    of_name = {name.casefold(): value for value, name in rule.names.items()}
    for value in labels.voxels:
        meant = of_name.get(names.get(value, "").casefold(), value)
        if meant != value:
            raise UserError(
                f"{path}: its header calls {value} {names[value]!r}, which dataset.json has as {meant}; give all files "
                "the same values, or leave the case out"
            )


def of_a_class(label: Voxels | float) -> NDArray[np.bool_]:
    """Which voxels of a label (see `Case`) are of a class: not background, not ignored; or whether the volume is."""
    values = np.asarray(label)
    found: NDArray[np.bool_] = values != 0
    return found & (values != IGNORED) if values.dtype == np.uint16 else found


def lost_values(labels: Labels, kept: NDArray[Any], rule: LabelRule) -> list[int]:
    """The values of a label file whose class is nowhere in `kept` (D, H, W), its cropped and resampled classes."""
    found = np.zeros(IGNORED + 1, np.bool_)
    for section in kept:  # Indices are wide: of a slice at a time.
        found[section] = True
    index = rule.classes()
    return [value for value in labels.voxels if index[value] not in (0, IGNORED) and not found[index[value]]]


def without_class(rule: LabelRule) -> str:
    """What is said of a label that is all background."""
    return f"holds no voxel of any class ({_some(rule.values, 30)})"


def nothing_to_learn(cases: Sequence[SourceCase], rule: LabelRule | None, have_class: Sequence[bool]) -> list[Problem]:
    """The problem of a data set whose labels are all background; one of some cases is theirs to have.

    `have_class` says of each usable case whether a voxel is of a class. Without a `rule` no label is read.
    """
    if rule is None or not have_class or any(have_class):
        return []
    label = cases[0].label
    assert isinstance(label, Path)
    return [Problem(label, f"{without_class(rule)}, and no other label does; name the right label files")]


def on_same_grid(image: Volume, label: Volume) -> bool:
    """Whether shapes are the same and places nowhere more than half a voxel apart."""
    return image.voxels.shape == label.voxels.shape and _apart(image, label) <= _NEAR


def require_same_grid(
    image: Volume, label: Volume, image_path: Path, label_path: Path, option: str = "", what: str = "label"
) -> None:
    """Raise UserError unless `on_same_grid`; `option` is one that takes the image's header for the label's.

    `what` lies on the image's grid: its label, or another channel.
    """
    if on_same_grid(image, label):
        return
    way_out = "resample the label to its image first" if what == "label" else "resample all channels to one grid first"
    if what == "label" and image.file_grid and label.file_grid and image.file_grid.shape == label.file_grid.shape:
        way_out += ", or if only its header is wrong take the image's" + (f" with {option}" if option else "")
    if image.voxels.shape == label.voxels.shape:
        found = f"up to {_apart(image, label):.1f} voxels apart"
    else:
        found = f"{_size(label.voxels.shape)} voxels instead of {_size(image.voxels.shape)} (D, H, W)"
    raise UserError(f"{label_path}: not on the grid of {image_path}, {found}; {way_out}")


def _apart(image: Volume, label: Volume) -> float:
    return voxels_apart(image.voxels.shape, image.affine, label.affine)


def _distance_to_whole(values: NDArray[Any], path: Path) -> float:
    """The largest one; raises UserError where it is no rounding error."""
    if values.dtype.kind in "iu":
        return 0.0
    # Half a step of 16 bits over the range: what is lost where a tool scaled float labels into them.
    tolerance = 1.05 * max(_NEARLY_WHOLE, float(values.max() - values.min()) / 2**17)
    apart = 0.0
    for section in values:
        distance = np.abs(section - np.rint(section))
        apart = max(apart, float(distance.max()))
        if apart > tolerance:
            found = _some(np.unique(section[distance > tolerance]).tolist())
            raise UserError(f"{path}: label values {found} are not whole; resample labels to the nearest voxel")
    return apart


def _whole(section: NDArray[Any]) -> NDArray[np.int64]:
    return np.rint(section).astype(np.int64) if section.dtype.kind == "f" else section.astype(np.int64)


def _some(values: Sequence[float], most: int = 5) -> str:
    return ", ".join(f"{value:g}" for value in values[:most]) + (", ..." if len(values) > most else "")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
