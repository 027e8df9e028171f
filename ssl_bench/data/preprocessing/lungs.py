"""Where the lungs are in a CT: by a network, or by a threshold and connected components."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ssl_bench.errors import UserError

FoundBy = Literal["lungmask", "threshold"]

WEIGHTS_VARIABLE = "SSL_BENCH_LUNGMASK_WEIGHTS"
"""Names the file of lungmask's R231 weights, for machines without a network."""

AIR_HU = -500
SMALLEST_LITRES = 0.1
SECOND_LUNG = 0.2
"""Share of the larger component's volume: less is stomach or bowel gas beside two lungs that the airways join."""
CLOSING_MM = 8.0
"""Radius: vessels of the lung and consolidations along its border belong to it."""
WORKING_MM = 1.5
"""About the voxel size at which the threshold works: the rest is noise, time and memory."""


def lung_mask(
    voxels_hu: NDArray[Any], spacing_mm: tuple[float, float, float], how: Literal["auto", "lungmask", "threshold"]
) -> tuple[NDArray[np.bool_], FoundBy]:
    """The lungs of a CT (D, H, W) in HU, canonical axes and spacing in that order; and what found them.

    `auto` is lungmask where the package and its weights are at hand, else the threshold. Raises UserError, without the
    file's name, if there are no lungs of at least 0.1 l.
    """
    found_by = chosen(how)
    if found_by == "threshold":
        return _by_threshold(voxels_hu, spacing_mm), found_by
    mask = _by_network(voxels_hu)
    _require_lungs(mask, spacing_mm, found_by)
    return mask, found_by


def chosen(how: Literal["auto", "lungmask", "threshold"]) -> FoundBy:
    """What finds the lungs on this machine."""
    if how != "auto":
        return how
    weights = os.environ.get(WEIGHTS_VARIABLE)
    return "lungmask" if weights and Path(weights).is_file() and find_spec("lungmask") else "threshold"


def _by_network(voxels_hu: NDArray[Any]) -> NDArray[np.bool_]:
    """Hofmanninger et al., European Radiology Experimental 2020: the network R231, slice by slice."""
    weights = os.environ.get(WEIGHTS_VARIABLE) or None
    if weights and not Path(weights).is_file():
        raise UserError(f"{WEIGHTS_VARIABLE}={weights}: no such file; name the file of lungmask's R231 weights")
    # The network knows slices whose rows run to posterior and columns to left.
    return np.asarray(_network(weights).apply(voxels_hu[:, ::-1, ::-1]))[:, ::-1, ::-1] > 0


@cache
def _network(weights: str | None) -> Any:
    try:
        library: Any = import_module("lungmask")
    except ImportError as error:
        raise UserError(
            "lungmask is not installed; pip install 'ssl-bench[lungs]', or --set data.TASK.lungs=threshold"
        ) from error
    try:
        return library.LMInferer(modelname="R231", modelpath=weights, force_cpu=True, tqdm_disable=True)
    except Exception as error:
        reason = f"lungmask's weights cannot be loaded ({type(error).__name__})"
        raise UserError(
            f"{reason}; name their file in {WEIGHTS_VARIABLE}, or --set data.TASK.lungs=threshold"
        ) from error


def _by_threshold(voxels_hu: NDArray[Any], spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Air inside the body: the largest component, and the second if it is a lung too, closed and filled."""
    steps = [max(1, round(WORKING_MM / size)) for size in spacing_mm]
    coarse_mm = tuple(size * step for size, step in zip(spacing_mm, steps, strict=True))
    starts = [min((step - 1) // 2, n - 1) for step, n in zip(steps, voxels_hu.shape, strict=True)]
    coarse = voxels_hu[tuple(slice(start, None, step) for start, step in zip(starts, steps, strict=True))]
    components, count = ndimage.label(coarse < AIR_HU)
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[0] = 0
    # Outside air reaches the sides of the picture; lungs may reach its top and bottom.
    for side in (components[:, [0, -1], :], components[:, :, [0, -1]]):
        sizes[np.unique(side)] = 0
    lungs = sizes >= max(1, SECOND_LUNG * sizes.max())
    lungs[np.argsort(sizes)[:-2]] = False
    mask = lungs[components]
    _require_lungs(mask, coarse_mm, "threshold")
    mask = _closed(mask, coarse_mm)
    nearest = [np.minimum(np.arange(n) // s, m - 1) for n, s, m in zip(voxels_hu.shape, steps, mask.shape, strict=True)]
    return mask[np.ix_(*nearest)]


def _closed(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """`mask` closed with a ball of CLOSING_MM, its holes filled."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    # A rim wide enough that what grows never meets the border.
    rims = [int(CLOSING_MM / size) + 2 for size in spacing_mm]
    grown = np.pad(mask[box], [(rim, rim) for rim in rims])
    grown = ndimage.distance_transform_edt(~grown, spacing_mm) <= CLOSING_MM
    grown = ndimage.distance_transform_edt(grown, spacing_mm) > CLOSING_MM
    outside, _ = ndimage.label(~grown)
    closed = np.zeros_like(mask)
    closed[box] = (outside != outside[0, 0, 0])[tuple(slice(rim, -rim) for rim in rims)]
    return closed


def _require_lungs(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...], found_by: FoundBy) -> None:
    litres = np.count_nonzero(mask) * float(np.prod(spacing_mm)) / 1e6
    if litres < SMALLEST_LITRES:
        other = "threshold" if found_by == "lungmask" else "lungmask"
        raise UserError(
            f"{found_by} found {litres:.2f} l of lung and at least {SMALLEST_LITRES} are needed; "
            f"check data.TASK.intensity_offset, --set data.TASK.lungs={other}, or choose another region"
        )
