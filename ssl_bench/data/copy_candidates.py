"""Which scans of two cohorts may be copies of each other: products of matrices over all pairs, then a few of them.

What people have in common is coarse, and what tells them apart is fine. So scans are compared by what sets each cell
apart from its neighbours, in three ways that see what the others miss: turned and mirrored in all 48 ways; without what
either was filled with or clipped at; and within a frame that follows what is shown instead of the picture's edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from ssl_bench.data.preprocessing.blocks import Floats, along_axes, averaging, smoothing
from ssl_bench.data.preprocessing.signature import BLOCKS, Signature

_CELLS = 16
"""Along each axis."""
_POSSIBLE = 0.5
"""Correlation below which nothing is a copy."""
_LIKELY = 0.85
"""Correlation above which every pair is looked at; below, the likeliest of each way. Of 72 brains in one orientation no
two have more."""
_SHARED = 0.2
"""Share of the smaller content that both must show for their correlation to count."""
_AT_ONCE = 256
"""Cases that are compared with the corpus together, which bounds the memory."""
_REACH = 1.8
"""Of the content's frame, in standard deviations."""

Turn = tuple[tuple[int, ...], tuple[int, ...]]
"""How a volume is turned: the order of its axes, and then a step of 1 or -1 along each."""
_STEPS = list(product((1, -1), repeat=3))
_TURNS: list[Turn] = [(axes, steps) for axes in permutations(range(3)) for steps in _STEPS]
_SIGNS = np.array([[np.prod(np.power(steps, odd)) for odd in product((0, 1), repeat=3)] for steps in _STEPS], np.float32)


def candidates(corpus: Sequence[Signature], cases: Sequence[Signature]) -> Iterator[tuple[int, int, Turn]]:
    """Indices of a scan of the corpus and of a case, and how the case is turned to lie as the scan does."""
    scans = _Details.of(corpus)
    for start in range(0, len(cases), _AT_ONCE):
        some = cases[start : start + _AT_ONCE]
        details = _Details.of(some)
        itself = np.array([[scan is case for case in some] for scan in corpus])
        turned, turns = _turned(scans.plain, details.plain)
        upright = np.zeros_like(turns)
        centred = _rows(scans.centred) @ _rows(details.centred).T
        found: dict[tuple[int, int, Turn], None] = {}
        for scores, ways in ((turned, turns), (_masked(scans, details), upright), (centred, upright)):
            for scan, case in zip(*np.nonzero(_promising(np.where(itself, -1, scores))), strict=True):
                found[int(scan), start + int(case), _TURNS[ways[scan, case]]] = None
        yield from found


def turned(volume: NDArray[np.uint8], turn: Turn) -> NDArray[np.uint8]:
    """A volume (N, N, N) turned and mirrored."""
    axes, steps = turn
    return volume.transpose(axes)[tuple(slice(None, None, step) for step in steps)]


def content_frame(values: Floats) -> list[tuple[float, float]]:
    """Centre and standard deviation along each axis, in blocks, of where neighbouring `values` (D, H, W) differ."""
    slopes = np.sqrt(sum(slope**2 for slope in np.gradient(values)))
    mass = np.minimum(slopes, np.quantile(slopes, 0.95)) + 1e-9  # a padding's edge must not outweigh what it surrounds
    frame = []
    for axis, size in enumerate(values.shape):
        profile = mass.sum(axis=tuple({0, 1, 2} - {axis}))
        places = np.arange(size) + 0.5
        centre = np.average(places, weights=profile)
        frame.append((float(centre), float(np.sqrt(np.average((places - centre) ** 2, weights=profile)))))
    return frame


@dataclass(frozen=True, eq=False)
class _Details:
    """What sets the cells of N scans apart from their neighbours, each (N, 16, 16, 16)."""

    plain: Floats
    """Of length 1."""
    masked: Floats
    """Of what is not flat alone, zero elsewhere."""
    shown: Floats
    """1 where a cell is not flat, 0 elsewhere."""
    centred: Floats
    """Within the content's frame; of length 1."""

    @classmethod
    def of(cls, signatures: Sequence[Signature]) -> _Details:
        neighbours, whole = [smoothing(_CELLS, (1, 1, 1))] * 3, [averaging(_CELLS, BLOCKS)] * 3
        values = np.stack([each.values for each in signatures]).astype(np.float32) / 255
        content = 1 - np.stack([each.flat for each in signatures]).astype(np.float32) / 255
        cells, weights = along_axes(whole, values), along_axes(whole, content)
        shown = (weights > 0.5).astype(np.float32)
        means = along_axes(whole, values * content) / np.maximum(weights, 1e-3)
        around = along_axes(neighbours, means * shown) / np.maximum(along_axes(neighbours, shown), 1e-3)
        centred = np.stack([along_axes(_framed(each), each) for each in values])
        return cls(
            plain=_unit(cells - along_axes(neighbours, cells)),
            masked=(means - around) * shown,
            shown=shown,
            centred=_unit(centred - along_axes(neighbours, centred)),
        )


def _framed(values: Floats) -> list[Floats]:
    ends = [(centre - _REACH * spread, centre + _REACH * spread) for centre, spread in content_frame(values)]
    return [averaging(_CELLS, BLOCKS, low, high) for low, high in ends]


def _unit(volumes: Floats) -> Floats:
    lengths = np.sqrt((volumes**2).sum(axis=(1, 2, 3), keepdims=True))
    return volumes / np.maximum(lengths, np.float32(1e-6))


def _rows(volumes: Floats) -> Floats:
    return volumes.reshape(len(volumes), -1)


def _promising(scores: Floats) -> NDArray[np.bool_]:
    """Which pairs (corpus, cases) are worth a closer look."""
    best = np.zeros(scores.shape, bool)
    best[scores.argmax(axis=0), np.arange(scores.shape[1])] = True
    return (best & (scores > _POSSIBLE)) | (scores > _LIKELY)


def _masked(scans: _Details, cases: _Details) -> Floats:
    """Correlations (corpus, cases) over the cells that both show."""
    shown, also = _rows(scans.shown), _rows(cases.shown)
    first, second = _rows(scans.masked), _rows(cases.masked)
    both, smaller = shown @ also.T, np.minimum(shown.sum(1)[:, None], also.sum(1))
    lengths = np.sqrt((first**2 @ also.T) * (shown @ (second**2).T))
    return np.where(both > _SHARED * smaller, first @ second.T / np.maximum(lengths, np.float32(1e-6)), 0)


def _turned(scans: Floats, cases: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The highest correlation (corpus, cases) over all turns of the case, and the number of that turn in `_TURNS`.

    Even and odd parts are compared once for all eight mirrorings, which only change the sign of odd parts.
    """
    parts = _parts(scans)
    scores = []
    for axes in permutations((1, 2, 3)):
        products = parts @ _parts(cases.transpose(0, *axes)).transpose(0, 2, 1)
        scores.append(np.tensordot(_SIGNS, products, 1))
    every = np.concatenate(scores)
    best = every.argmax(axis=0)
    return np.take_along_axis(every, best[None], axis=0)[0], best


def _parts(volumes: Floats) -> Floats:
    """(8, N, 512): what is even and odd along each axis of (N, 16, 16, 16)."""
    half = _CELLS // 2
    parts = volumes[None]
    for axis in (2, 3, 4):
        ahead = parts.take(range(half), axis)
        back = np.flip(parts.take(range(half, _CELLS), axis), axis)
        parts = np.stack((ahead + back, ahead - back), axis=1).reshape(-1, *ahead.shape[1:]) / np.float32(np.sqrt(2))
    return parts.reshape(8, len(volumes), -1)
