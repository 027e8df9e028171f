"""Volumes of here as the weights of others know them, and what was predicted for them back again.

A source's contract says how its volumes lay and what their values meant. The cases that a network gets are turned and
scaled so; nothing is resampled. Scores, pictures and the digest of the cases are of the volumes as they lie here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.spec.contract import HERE, HU_HERE, OPPOSITE, InputContract
from ssl_bench.spec.specification import EvaluationSpec


class Entrance:
    """Brings volumes of one modality to what a contract says."""

    def __init__(self, contract: InputContract, modality: Literal["CT", "MR"]) -> None:
        self.contract = contract
        self.modality = modality
        axes = contract.axes or HERE
        self._order = [HERE.index(letter if letter in HERE else OPPOSITE[letter]) for letter in axes]
        self._mirrored = [place - 3 for place, letter in enumerate(axes) if letter not in HERE]
        """The axes of the turned volume, counted from the last, along which indices grow the other way."""

    def cases(self, cases: Sequence[Case]) -> Sequence[Case]:
        """All of `cases` turned and scaled, each when it is asked for; the same cases where nothing changes."""
        return _EnteringCases(self, cases) if self.contract.changes else cases

    def case(self, case: Case) -> Case:
        """`case` as the weights know it, its label and its spacing too."""
        if not self.contract.changes:
            return case
        label = case.label
        channels = self._scaled(self._turned(np.asarray(case.channels)))
        depth, height, width = (case.spacing_mm[axis] for axis in self._order)
        return replace(
            case,
            image=channels if case.image.ndim == 4 else channels[0],
            label=label if isinstance(label, int | float) else self._turned(np.asarray(label)),
            spacing_mm=(depth, height, width),
        )

    def volume(self, volume: Tensor) -> Tensor:
        """(1, C, D, H, W) as the weights know it, scaled by its own mean and deviation where those are asked for."""
        turned = self._turned(volume[0].cpu().numpy())
        return torch.from_numpy(np.ascontiguousarray(self._scaled(turned)))[None].to(volume.device)

    def back(self, volume: Tensor) -> Tensor:
        """(..., D, H, W) of the weights' axes, labels or features, as it lies here."""
        leading = volume.dim() - 3
        mirrored = volume.flip(self._mirrored) if self._mirrored else volume
        return mirrored.permute(*range(leading), *(leading + self._order.index(axis) for axis in range(3)))

    def _turned(self, array: NDArray[Any]) -> NDArray[Any]:
        leading = array.ndim - 3
        turned = array.transpose(*range(leading), *(leading + axis for axis in self._order))
        return np.flip(turned, tuple(self._mirrored)) if self._mirrored else turned

    def _scaled(self, channels: NDArray[Any]) -> NDArray[np.float32]:
        """(C, D, H, W), each channel by itself."""
        values = np.asarray(channels, dtype=np.float32)
        if self.contract.intensity == "z-score":
            mean = values.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
            deviation = values.std(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
            values = ((values - mean) / np.maximum(deviation, 1e-8)).astype(np.float32)
        elif self.contract.window_hu and self.modality == "CT":
            low, high = self.contract.window_hu
            units = HU_HERE[0] + (HU_HERE[1] - HU_HERE[0]) * values
            values = ((units - low) / (high - low)).clip(0, 1).astype(np.float32)
        return values


class _EnteringCases(Sequence[Case]):
    def __init__(self, entrance: Entrance, cases: Sequence[Case]) -> None:
        self._entrance, self._cases = entrance, cases

    def __len__(self) -> int:
        return len(self._cases)

    @overload
    def __getitem__(self, place: int) -> Case: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Case]: ...

    def __getitem__(self, place: int | slice) -> Case | Sequence[Case]:
        found = self._cases[place]
        return self._entrance.case(found) if isinstance(found, Case) else _EnteringCases(self._entrance, found)

    def __iter__(self) -> Iterator[Case]:
        return map(self._entrance.case, self._cases)


def unmet(contract: InputContract, spec: EvaluationSpec, modality: Literal["CT", "MR"]) -> list[str]:
    """In words, what of `contract` the cell does not meet, and the option that does where there is one."""
    if contract == InputContract():
        return []
    found = []
    if not contract.axes:
        found.append("how its axes lay is not stated: volumes stay superior, anterior, right")
    spacing = spec.data.recipe.get("spacing_mm") if spec.data.is_real else None
    if contract.spacing_mm and set(contract.spacing_mm) != {spacing}:
        here = f"{spacing:g} mm" if spacing else "the scanner's" if spec.data.is_real else "the embedded cohort's"
        option = f"; --set data.{spec.task}.spacing_mm={contract.spacing_mm[0]:g}" if spec.data.is_real else ""
        found.append(f"voxels are {here} and are not resampled to its spacing{option}")
    if contract.patch and set(contract.patch) != {spec.crop}:
        found.append(f"windows are {spec.crop} voxels a side and not its patch")
    if contract.window_hu and modality != "CT":
        found.append(f"its intensities are of CT: {modality} stays in [0, 1]")
    if (
        contract.window_hu
        and modality == "CT"
        and not HU_HERE[0] <= contract.window_hu[0] < contract.window_hu[1] <= (HU_HERE[1])
    ):
        found.append(f"values beyond {HU_HERE[0]:g} to {HU_HERE[1]:g} HU were clipped before")
    return found
