"""Whether one scan is a copy of another: laid onto it, it must look alike in every part that both show.

A copy differs a little everywhere; two hearts of one person, or two people in one template, differ much somewhere. So
what counts is where they agree least.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_bench.data.copy_candidates import UPRIGHT, Turn, content_frames, surrounded, turned
from ssl_bench.data.preprocessing.blocks import Floats, along_axes, averaging, interpolation, smoothing
from ssl_bench.data.preprocessing.signature import BLOCKS, Signature

LARGEST_DISAGREEMENT = 0.18
"""Of a copy, see `disagreement`. Measured on 560 volumes: docs/data.md, "The leak guard"."""
LARGEST_TURNED = 0.09
"""The same for a turned scan, which must otherwise be where it was: of 48 ways one may lay a body onto another."""
_LEAST = 0.02
"""The share of blocks that may disagree more."""
_COARSE = 16
"""Blocks along each axis in which scans are laid onto each other."""
_STEPS = 4
"""Of least squares."""
_MOVE = 0.04
"""How far a copy may be shifted from where it is expected, in parts of the picture."""
_SAME_FLAT = 0.06
"""Blocks whose flat shares differ by more were cut, filled or clipped in one of the scans: they are not compared."""
_FLAT = 0.98
_FEWEST_VOXELS = 2000
"""Scans of fewer hold too little to be told apart from afar: their copies are those that hold the same."""
_ENOUGH = 64
"""Blocks that must be compared, and that must show something, for anything to be said."""
_SHARED = 0.05
"""Share of the smaller content that must be compared."""
_TEXTURED = 0.02
"""Share of the whole variance that a neighbourhood needs in one of the scans to say anything."""

_BLUR = {size: [smoothing(size, (1, 2, 1))] * 3 for size in (BLOCKS, _COARSE)}
_AROUND = {size: [smoothing(size, (1, 1, 1, 1, 1))] * 3 for size in (BLOCKS, _COARSE)}
_HALVE = [averaging(_COARSE, BLOCKS)] * 3


@dataclass(frozen=True, eq=False)
class _Outline:
    """Values and flat shares of a scan's blocks, (N, N, N) in [0, 1]."""

    values: Floats
    flat: Floats

    @classmethod
    def of(cls, scan: Signature) -> _Outline:
        values: Floats = scan.values.astype(np.float32) / np.float32(255)
        flat: Floats = scan.flat.astype(np.float32) / np.float32(255)
        return cls(values, flat)

    def coarser(self) -> _Outline:
        return _Outline(along_axes(_HALVE, self.values), along_axes(_HALVE, self.flat))


@dataclass(frozen=True, eq=False)
class _Place:
    """Where in a case the scan's axes lie: scaled about the centre, and shifted, in parts of the picture."""

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]

    def of(self, case: _Outline) -> tuple[_Outline, NDArray[np.bool_]]:
        """The case resampled onto the scan, and which blocks lie within it."""
        axes = [interpolation(len(case.values), *each) for each in zip(self.scale, self.shift, strict=True)]
        values, flat = along_axes([weights for weights, _ in axes], np.stack((case.values, case.flat)))
        depth, height, width = (inside for _, inside in axes)
        return _Outline(values, flat), depth[:, None, None] & height[:, None] & width


_STILL = _Place(np.ones(3), np.zeros(3))


def is_copy(scan: Signature, case: Signature, turn: Turn) -> bool:
    """Whether a case is a changed copy of a scan, once it is turned."""
    case = turned(case, turn)
    if min(np.prod(scan.shape), np.prod(case.shape)) < _FEWEST_VOXELS:
        return scan.shape == case.shape and bool(np.abs(scan.values.astype(int) - case.values).max() <= 1)
    first, second = _Outline.of(scan), _Outline.of(case)
    coarse = first.coarser(), second.coarser()
    unmoved = disagreement(first, second, _STILL)
    if turn != UPRIGHT or unmoved <= LARGEST_DISAGREEMENT:
        return unmoved <= (LARGEST_DISAGREEMENT if turn == UPRIGHT else LARGEST_TURNED)
    # What differs from afar differs near by, and that is soon seen.
    places = (place for place in _places(scan, case, *coarse) if disagreement(*coarse, place) <= LARGEST_DISAGREEMENT)
    return any(disagreement(first, second, place) <= LARGEST_DISAGREEMENT for place in places)


def _places(scan: Signature, case: Signature, first: _Outline, second: _Outline) -> Iterator[_Place]:
    """Where the case may lie: moved, resampled, or cropped or padded, which keeps the size of voxels."""
    scale = np.array(scan.shape) / case.shape
    # Some resample between the centres of the first and last slices, which stretches a picture by a part of a slice.
    yield _aligned(first, second, _STILL, stretch=np.abs(1 / np.array(scan.shape) - 1 / np.array(case.shape)))
    if np.any(scale != 1):
        pair = [np.stack(each) for each in ((first.values, second.values), (first.flat, second.flat))]
        (centre, _), (other, _) = content_frames(pair[0], surrounded(pair[1])).transpose(0, 2, 1)
        room = np.abs(1 - scale) / 2
        for shift in (np.zeros(3), room, -room, np.clip(other - 0.5 - scale * (centre - 0.5), -room, room)):
            yield _aligned(first, second, _Place(scale, shift), stretch=np.zeros(3))


def disagreement(scan: _Outline, case: _Outline, place: _Place) -> float:
    """One minus the correlation within neighbourhoods of 5 x 5 x 5 blocks: what 2 % of them exceed.

    It does not change with the contrast and brightness of a neighbourhood. Infinity where too little can be compared.
    """
    moved, inside = place.of(case)
    compared = _comparable(scan, moved, inside)
    content = min((scan.flat < _FLAT).sum(), (case.flat < _FLAT).sum())
    if compared.sum() < max(_ENOUGH, _SHARED * content):
        return np.inf
    weights, blur, around = compared.astype(np.float32), _BLUR[len(compared)], _AROUND[len(compared)]
    pair = np.stack([each - each[compared].mean() for each in (scan.values, moved.values)])
    a, b = along_axes(blur, pair * weights) / np.maximum(along_axes(blur, weights), 1e-6)
    share = along_axes(around, weights)
    sums = along_axes(around, weights * np.stack((a, b, a * a, b * b, a * b))) / np.maximum(share, 1e-6)
    spread_a, spread_b = np.maximum(sums[2] - sums[0] ** 2, 0), np.maximum(sums[3] - sums[1] ** 2, 0)
    least_a, least_b = (_TEXTURED * each[compared].var() + 1e-9 for each in (a, b))
    telling = compared & (share > 0.3) & ((spread_a > least_a) | (spread_b > least_b))
    if telling.sum() < _ENOUGH:
        return np.inf
    lengths = np.sqrt(np.maximum(spread_a, least_a / 20) * np.maximum(spread_b, least_b / 20))
    correlations = ((sums[4] - sums[0] * sums[1]) / lengths)[telling]
    return float(1 - np.quantile(correlations, _LEAST))


def _comparable(scan: _Outline, case: _Outline, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    both_flat = (scan.flat > _FLAT) & (case.flat > _FLAT)
    comparable: NDArray[np.bool_] = inside & (np.abs(scan.flat - case.flat) < _SAME_FLAT) & ~both_flat
    return comparable


def _aligned(scan: _Outline, case: _Outline, place: _Place, stretch: NDArray[np.float64]) -> _Place:
    """`place` moved a little, and scaled by at most `stretch`, to the least squared difference (Gauss-Newton)."""
    start, size = place, len(scan.values)
    along = np.meshgrid(*[(np.arange(size) + 0.5) / size - 0.5] * 3, indexing="ij")
    for _ in range(_STEPS):
        moved, inside = place.of(case)
        compared = _comparable(scan, moved, inside)
        if compared.sum() < _ENOUGH:
            break
        along_case = zip(np.gradient(moved.values), place.scale, strict=True)
        slopes = [slope[compared] * size / scale for slope, scale in along_case]
        slanted = [slope * each[compared] for slope, each in zip(slopes, along, strict=True)]
        columns = [*slopes, *slanted, moved.values[compared], np.ones(compared.sum())]
        equations = np.stack(columns, axis=1)
        normal = equations.T @ equations
        normal[np.diag_indices(8)] *= 1 + 1e-4
        normal[np.diag_indices(8)] += 1e-9
        solution = np.linalg.solve(normal, equations.T @ scan.values[compared])
        shift, scale = (place.shift, place.scale) + solution[:6].reshape(2, 3) / max(solution[6], 0.2)
        place = _Place(
            scale=start.scale + np.clip(scale - start.scale, -stretch, stretch),
            shift=start.shift + np.clip(shift - start.shift, -_MOVE, _MOVE),
        )
    return place
