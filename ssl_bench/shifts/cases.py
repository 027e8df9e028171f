"""A test case under a shift, label and all, and where its places went."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_bench.api.cases import Case
from ssl_bench.api.rng import numpy_generator
from ssl_bench.api.shift import ShiftFacts
from ssl_bench.shifts.geometry import (
    narrowed,
    narrowed_places,
    random_axis,
    rotated,
    rotated_places,
    thick_slices,
)
from ssl_bench.shifts.intensities import biased, noisy, with_gamma

INTENSITY_SHIFTS = {"noise": noisy, "bias": biased, "gamma": with_gamma}


def shifted(case: Case, shift: ShiftFacts, grade: int, seed: int) -> Case:
    """`case` under `shift` at one of its grades; grade 0 gives the same arrays to the bit.

    What is random is drawn by `seed`, the shift and the case's identifier alone: every method meets the same voxels,
    and from grade to grade the same noise, field or axis grows stronger. Labels of voxels go with the anatomy: turned
    to the nearest voxel, and background where the scan no longer reaches, so that predictions are scored in the
    shifted frame.
    """
    generator, strength = _generator(case, shift, seed), shift.strengths[grade]
    if shift.name in INTENSITY_SHIFTS:
        channels = INTENSITY_SHIFTS[shift.name](case.channels, strength, generator)
        return replace(case, image=_like(channels, case))
    if shift.name == "thickness":
        return replace(case, image=_like(thick_slices(case.channels, round(strength)), case))
    if shift.name == "field-of-view":
        image, label = narrowed(case.channels, strength), _of_voxels(case)
        return _with(case, image, None if label is None else narrowed(label, strength))
    axis, label = random_axis(generator), _of_voxels(case)
    image = rotated(case.channels, axis, strength, case.spacing_mm)
    turned = None if label is None else rotated(label, axis, strength, case.spacing_mm, labels=True)
    return _with(case, image, turned)


def shifted_places(
    places: NDArray[np.float64], case: Case, shift: ShiftFacts, grade: int, seed: int
) -> NDArray[np.float64]:
    """(N, 3): where `shifted` brings what lies at `places` (N, 3) of `case`, in voxels; NaN for out of view."""
    strength = shift.strengths[grade]
    if shift.name == "rotation":
        axis = random_axis(_generator(case, shift, seed))
        return rotated_places(places, axis, strength, case.spacing_mm, case.size)
    return narrowed_places(places, strength, case.size) if shift.name == "field-of-view" else places


def _generator(case: Case, shift: ShiftFacts, seed: int) -> np.random.Generator:
    return numpy_generator(seed, "shift", shift.versioned, case.identifier)


def _with(case: Case, channels: NDArray[np.float32], label: NDArray[Any] | None) -> Case:
    return replace(case, image=_like(channels, case), label=case.label if label is None else label)


def _of_voxels(case: Case) -> NDArray[Any] | None:
    """The label map; None where the whole volume has the label."""
    return None if isinstance(case.label, int | float) else np.asarray(case.label)


def _like(channels: NDArray[np.float32], case: Case) -> NDArray[np.float32]:
    return channels.reshape(case.image.shape)
