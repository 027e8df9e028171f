"""Whether a recipe for intensities fits a scan: judged by its values, and by what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_bench.api.cases import Doubt
from ssl_bench.api.preprocessing import Preprocessing

HU_OFFSET = 1024.0
"""What the CT recipe adds to HU."""

_SAMPLE = 2**20
"""So many voxels say enough of a scan."""
_INTENSITY, _OFFSET = "--set data.TASK.intensity", "--set data.TASK.intensity_offset"
_FAT_HU = -50.0
"""Fat and air lie below; every uncut CT holds some."""
_WATER_STORED = (900.0, 1150.0)
"""Where fat and soft tissue lie once 1024 was added to HU."""
_LUNG_TO_FAT_HU = (-950.0, -50.0)
_NARROW = {"ct": 0.05, "mr": 0.15, "percentile": 0.15}
"""Less of [0, 1] between `Contrast.low` and `Contrast.high` is hardly any contrast. A CT of soft tissue alone, as of a
liver, has 0.1."""


@dataclass(frozen=True, eq=False)
class Values:
    """The values of a scan, before the recipe."""

    low: float
    high: float
    inside: NDArray[np.float32]
    """A sample of those above the lowest, which may be that of padding."""

    @classmethod
    def of(cls, voxels: NDArray[Any]) -> Values:
        """Of a scan (D, H, W)."""
        low, sample = voxels.min(), sampled(voxels)
        inside = sample[sample > low]
        return cls(float(low), float(voxels.max()), (inside if inside.size else sample.ravel()).astype(np.float32))

    def share(self, low: float, high: float) -> float:
        """Of those inside, how many lie between."""
        return float(np.mean((self.inside > low) & (self.inside < high)))

    def __str__(self) -> str:
        usual = np.percentile(self.inside, (1, 99))
        return f"values from {self.low:.4g} to {self.high:.4g}, 98 % of them {usual[0]:.4g} to {usual[1]:.4g}"


class Contrast(NamedTuple):
    """What a prepared image makes of [0, 1]."""

    spread: float
    """Standard deviation."""
    at_0: float
    """Share of the voxels that are 0: clipped, or the smallest."""
    at_1: float
    low: float
    """1st percentile of the voxels above the smallest, of which background may be most."""
    high: float
    """99th percentile of those."""

    @classmethod
    def of(cls, image: NDArray[np.float32]) -> Contrast:
        """Of voxels in [0, 1] that are not all the same, of any shape."""
        sample = sampled(image)
        above = sample[sample > sample.min()]
        low, high = np.percentile(above if above.size else sample, (1, 99))
        shares = float(np.mean(sample == 0)), float(np.mean(sample == 1))
        return cls(float(sample.std(dtype=np.float64)), *shares, float(low), float(high))

    def __str__(self) -> str:
        shares = f"{self.at_0:.0%} at 0, {self.at_1:.0%} at 1"
        return f"prepared {self.low:.3g} to {self.high:.3g}, spread {self.spread:.2g}, {shares}"


def sampled(volume: NDArray[Any]) -> NDArray[Any]:
    """Evenly spaced voxels of `volume`, a million or less; a view."""
    step = ceil((volume.size / _SAMPLE) ** (1 / volume.ndim))
    return volume[(slice(None, None, step),) * volume.ndim]


def doubts_of(values: Values, contrast: Contrast, preprocessing: Preprocessing) -> tuple[Doubt, ...]:
    """What speaks against the recipe of a channel, with the option that mends it; empty where nothing does."""
    (intensity,), offset = preprocessing.intensities, preprocessing.intensity_offset
    if intensity == "none":
        return _of_values_as_they_are(values)
    said = None
    if intensity == "ct":
        said = _against_ct(values, offset)
    elif intensity == "mr":
        said = _against_mr(values)
    said = said or _against_result(contrast, intensity)
    return (Doubt(said[0], f"{values}; {contrast}", said[1]),) if said else ()


def _of_values_as_they_are(values: Values) -> tuple[Doubt, ...]:
    if values.low >= 0 and values.high <= 1:
        return ()
    what = "values beyond [0, 1], which pretext tasks cut off"
    return (Doubt(what, str(values), f"scale the files, or take the range from them with {_INTENSITY}=percentile"),)


def _against_ct(values: Values, offset: float) -> tuple[str, str] | None:
    shift = HU_OFFSET - offset
    if values.share(-np.inf, _FAT_HU + shift) < 1e-3:
        what = "no value lies below -50 HU, where fat and air do"
        if offset > 0 and values.share(*_WATER_STORED) >= 0.02:
            return what, f"1024 was probably added before, then {_OFFSET}=0; or it is no CT, then {_INTENSITY}=mr"
        return (
            what,
            f"give the CT in HU; or take the range from whatever values these are, with {_INTENSITY}=percentile",
        )
    if offset == 0 and values.share(*_LUNG_TO_FAT_HU) >= 0.02:
        return "values that lung and fat have in HU become 0", f"if it holds HU, {_OFFSET}={HU_OFFSET:g}"
    return None


def _against_mr(values: Values) -> tuple[str, str] | None:
    if values.low >= 0:
        return None
    bright = float(np.percentile(np.abs(values.inside), 99))
    if values.share(-np.inf, -0.05 * bright) < 0.01:
        return None
    way_out = f"z-scored or otherwise normalised values want {_INTENSITY}=percentile, CT wants {_INTENSITY}=ct"
    return "negative values, more than noise has, become 0", way_out


def _against_result(contrast: Contrast, intensity: str) -> tuple[str, str] | None:
    if contrast.high - contrast.low < _NARROW[intensity]:
        way_out = {
            "ct": f"take the range from the values, with {_INTENSITY}=percentile",
            "mr": f"outliers stretch the range; leave them out of it, with {_INTENSITY}=percentile",
            "percentile": "take the outliers out of the files, or choose another region",
        }
        return "the recipe leaves hardly any contrast", way_out[intensity]
    if intensity == "ct" and contrast.at_1 > 0.1:
        return "many values lie above 1024 HU and become 1", f"correct {_OFFSET}, or use {_INTENSITY}=percentile"
    return None
