"""Examples of what a cell saw and made of it, kept beside its record for the report's pictures alone.

One compressed file of small arrays a cell. No score depends on it: a store without examples lacks pictures, nothing
else. What a file holds is not trusted: a shape or type that is not the format's makes it unreadable.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_bench.files import atomic_write

LARGEST_FILE = 2**24
"""Bytes, unpacked: a hundred times what a cell keeps; more is no example of ours."""

Arrays = Mapping[str, NDArray[Any]]
ClassIndices = NDArray[np.uint8 | np.uint16]
"""16 bits where the case has more than 255 classes."""


@dataclass(frozen=True)
class SegmentedSlice:
    """The slice of a test case with the most foreground, hung as radiologists do: front up, right on the left."""

    place: str
    """The rank of the case by DSC among the test cases: worst, median or best."""
    case: str
    dsc: float
    image: NDArray[np.uint8]
    """(rows, columns), 0 to 255."""
    truth: ClassIndices
    """(rows, columns)."""
    prediction: ClassIndices
    pixel_mm: tuple[float, float]
    """Height and width of a pixel."""


@dataclass(frozen=True)
class LocalFeatures:
    """Local features of one window of the first test case, the same voxels for every method."""

    image: NDArray[np.uint8]
    """(rows, columns), 0 to 255."""
    colours: NDArray[np.uint8]
    """(rows, columns, 3): the first three principal components of that slice's features."""
    vectors: NDArray[np.float16]
    """(voxels, channels), of voxels drawn evenly from the structures of the window."""
    labels: ClassIndices
    """(voxels,)."""


@dataclass(frozen=True)
class PretextExample:
    """Middle slices of what a method makes of held-out volumes."""

    titles: tuple[str, ...]
    images: NDArray[np.uint8]
    """(titles, rows, columns), 0 to 255."""
    displacement: NDArray[np.float16] | None
    """(2, rows, columns): down and right, in pixels, from where each pixel's value was fetched; None where nothing
    moves."""


@dataclass(frozen=True)
class Matches:
    """Points of one test case found in another, in pixels (down, right) of a slice of each.

    Hung as in `SegmentedSlice`; what lies before or behind a slice is drawn on it.
    """

    source: str
    target: str
    source_image: NDArray[np.uint8]
    """(rows, columns), 0 to 255."""
    target_image: NDArray[np.uint8]
    """(rows, columns), 0 to 255."""
    points: NDArray[np.float32]
    """(N, 2), of the source."""
    partners: NDArray[np.float32]
    """(N, 2), where they truly lie in the target."""
    found: NDArray[np.float32]
    """(N, 2), where they were found in it."""
    error_mm: NDArray[np.float32]
    """(N,), the distance between the two in all three directions."""
    source_pixel_mm: tuple[float, float]
    """Height and width of a pixel."""
    target_pixel_mm: tuple[float, float]
    every_error_mm: NDArray[np.float32]
    """Quantiles of the errors of all points of all pairs of the cell, evenly spaced from the least to the largest."""


@dataclass(frozen=True)
class LaidPair:
    """A slice of one test case, and another case laid onto it."""

    case: str
    partner: str
    image: NDArray[np.uint8]
    """(rows, columns), 0 to 255, of the one that was laid onto the other, black where it does not reach."""
    truth: ClassIndices
    """(rows, columns), of the one that lies still."""
    prediction: ClassIndices
    """(rows, columns), labels that were laid onto it."""
    displacement: NDArray[np.float16]
    """(2, rows, columns): down and right, in pixels, from where each pixel's value was fetched; NaN where unknown."""
    error_mm: NDArray[np.float16] | None
    """(rows, columns): from there to where it truly lies, in all three directions, NaN where that is outside; None
    where nobody knows."""
    pixel_mm: tuple[float, float]
    """Height and width of a pixel."""


@dataclass(frozen=True)
class Examples:
    """What one cell keeps: an evaluation slices and features, or what pairs show, a pre-training its pretext."""

    slices: tuple[SegmentedSlice, ...] = ()
    features: LocalFeatures | None = None
    pretext: PretextExample | None = None
    matches: Matches | None = None
    laid: LaidPair | None = None


def write_examples(path: Path, examples: Examples) -> None:
    """Write `examples` to `path` as one compressed file. Raises UserError or OSError where that fails."""
    arrays: dict[str, NDArray[Any]] = {}
    for index, shown in enumerate(examples.slices):
        arrays |= {f"slice{index}_{name}": np.asarray(value) for name, value in vars(shown).items()}
    for prefix in ("features", "pretext", "matches", "laid"):
        part = getattr(examples, prefix)
        found = vars(part) if part is not None else {}
        arrays |= {f"{prefix}_{name}": np.asarray(value) for name, value in found.items() if value is not None}
    if arrays:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)


def read_examples(path: Path) -> Examples:
    """The examples in `path`; none where there is no such file, nor, with a warning, where it does not read."""
    if not path.exists():
        return Examples()
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_FILE:
                raise ValueError("too large")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return Examples(tuple(_slices(arrays)), _features(arrays), _pretext(arrays), _matches(arrays), _laid(arrays))
    # A damaged archive makes the libraries raise nearly anything.
    except Exception as error:
        print(f"warning: {path} does not read ({type(error).__name__}); its pictures are left out", file=sys.stderr)  # noqa: T201
        return Examples()


def _slices(arrays: Arrays) -> list[SegmentedSlice]:
    found: list[SegmentedSlice] = []
    while f"slice{len(found)}_image" in arrays:
        part = _part(arrays, f"slice{len(found)}_")
        image = _checked(part["image"], np.uint8, 2)
        truth, prediction = (_classes(part[name], 2, image.shape) for name in ("truth", "prediction"))
        pixel_mm = _pixel(part["pixel_mm"])
        place, case, dsc = str(part["place"]), str(part["case"]), float(part["dsc"])
        found.append(SegmentedSlice(place, case, dsc, image, truth, prediction, pixel_mm))
    return found


def _features(arrays: Arrays) -> LocalFeatures | None:
    part = _part(arrays, "features_")
    if not part:
        return None
    image = _checked(part["image"], np.uint8, 2)
    colours = _checked(part["colours"], np.uint8, 3, (*image.shape, 3))
    vectors = _checked(part["vectors"], np.float16, 2)
    labels = _classes(part["labels"], 1, vectors.shape[:1])
    if not np.isfinite(vectors).all():
        raise ValueError("vectors")
    return LocalFeatures(image, colours, vectors, labels)


def _pretext(arrays: Arrays) -> PretextExample | None:
    part = _part(arrays, "pretext_")
    if not part:
        return None
    titles = tuple(str(title) for title in part["titles"])
    images = _checked(part["images"], np.uint8, 3)
    if len(images) != len(titles):
        raise ValueError("titles")
    displacement = part.get("displacement")
    if displacement is not None:
        displacement = _checked(displacement, np.float16, 3, (2, *images.shape[1:]))
        if not np.isfinite(displacement).all():
            raise ValueError("displacement")
    return PretextExample(titles, images, displacement)


def _matches(arrays: Arrays) -> Matches | None:
    part = _part(arrays, "matches_")
    if not part:
        return None
    errors = _checked(part["error_mm"], np.float32, 1)
    points, partners, found = (
        _checked(part[name], np.float32, 2, (len(errors), 2)) for name in ("points", "partners", "found")
    )
    every = _checked(part["every_error_mm"], np.float32, 1)
    if not all(np.isfinite(numbers).all() for numbers in (errors, every, points, partners, found)):
        raise ValueError("matches")
    return Matches(
        source=str(part["source"]),
        target=str(part["target"]),
        source_image=_checked(part["source_image"], np.uint8, 2),
        target_image=_checked(part["target_image"], np.uint8, 2),
        points=points,
        partners=partners,
        found=found,
        error_mm=errors,
        source_pixel_mm=_pixel(part["source_pixel_mm"]),
        target_pixel_mm=_pixel(part["target_pixel_mm"]),
        every_error_mm=every,
    )


def _laid(arrays: Arrays) -> LaidPair | None:
    part = _part(arrays, "laid_")
    if not part:
        return None
    image = _checked(part["image"], np.uint8, 2)
    truth, prediction = (_classes(part[name], 2, image.shape) for name in ("truth", "prediction"))
    displacement = _checked(part["displacement"], np.float16, 3, (2, *image.shape))
    error = _checked(part["error_mm"], np.float16, 2, image.shape) if "error_mm" in part else None
    names, pixel_mm = (str(part["case"]), str(part["partner"])), _pixel(part["pixel_mm"])
    return LaidPair(*names, image, truth, prediction, displacement, error, pixel_mm)


def _pixel(found: NDArray[Any]) -> tuple[float, float]:
    height, width = (float(value) for value in found)
    if not (0 < height < np.inf and 0 < width < np.inf):
        raise ValueError("pixel_mm")
    return height, width


def _part(arrays: Arrays, prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _classes(array: NDArray[Any], dimensions: int, shape: tuple[int, ...]) -> ClassIndices:
    return _checked(array, np.uint16 if array.dtype == np.uint16 else np.uint8, dimensions, shape)


def _checked(array: NDArray[Any], dtype: Any, dimensions: int, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    if array.dtype != dtype or array.ndim != dimensions or 0 in array.shape or (shape or array.shape) != array.shape:
        raise ValueError("shape or type")
    return array
