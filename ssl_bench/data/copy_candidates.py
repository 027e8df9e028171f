"""Which scans of two cohorts may be copies of each other: products of matrices over all pairs, then a few of them.

What people have in common is coarse, and what tells them apart is fine. So scans are compared by what sets each cell
apart from its neighbours, in three ways that see what the others miss: turned and mirrored in all 48 ways; without what
either was filled with or clipped at; and within a frame that follows what is shown instead of the picture's edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_bench.data.preprocessing.blocks import Floats, along_axes, averaging, smoothing
from ssl_bench.data.preprocessing.signature import BLOCKS, Signature

_CELLS = 16
"""Along each axis."""
_TURNED_CELLS = 8
"""Along each axis, where all turns are compared."""
_POSSIBLE, _LIKELY = 0.6, 0.85
"""Correlations above which the likeliest scan of each case is looked at, and above which every pair is."""
_POSSIBLE_TURNED, _LIKELY_TURNED = 0.9, 0.97
"""The same for turned scans, which are compared in coarser cells."""
_SHARED = 0.2
"""Share of the smaller content that both must show for their correlation to count."""
_AT_ONCE = 256
"""Cases that are compared with the corpus together, which bounds the memory."""
_LEVELS = 32
"""Of values, among which they are spread."""
_STEEPEST = 3
"""Factor by which that may raise the contrast of a level."""
_REACH = 1.8
"""Of the content's frame, in standard deviations."""

Turn = tuple[tuple[int, ...], tuple[int, ...]]
"""How a volume is turned: the order of its axes, and then a step of 1 or -1 along each."""
UPRIGHT: Turn = (0, 1, 2), (1, 1, 1)
_STEPS = list(product((1, -1), repeat=3))
_TURNS: list[Turn] = [(axes, steps) for axes in permutations(range(3)) for steps in _STEPS]
_SIGNS = np.array(
    [[np.prod(np.power(steps, odd)) for odd in product((0, 1), repeat=3)] for steps in _STEPS], np.float32
)


def candidates(corpus: Sequence[Signature], cases: Sequence[Signature]) -> Iterator[tuple[int, int, Turn]]:
    """Indices of a scan of the corpus and of a case, and how the case is turned to lie as the scan does.

    Of a corpus that is compared with itself (`cases` is `corpus`) each pair comes once, the earlier scan first.
    """
    scans = _Details.of(corpus)
    others = scans if cases is corpus else _Details.of(cases)
    for start in range(0, len(cases), _AT_ONCE):
        some = others.part(slice(start, start + _AT_ONCE))
        numbers = np.arange(start, start + len(some.plain))
        known = (cases is corpus) & (np.arange(len(corpus))[:, None] >= numbers)
        turned, turns = _turned(scans.turned, some.turned)
        upright = np.zeros_like(turns)
        found: dict[tuple[int, int, Turn], None] = {}
        for scores, possible, likely, ways in (
            (_rows(scans.plain) @ _rows(some.plain).T, _POSSIBLE, _LIKELY, upright),
            (_masked(scans, some), _POSSIBLE, _LIKELY, upright),
            (_rows(scans.centred) @ _rows(some.centred).T, _POSSIBLE, _LIKELY, upright),
            (_rows(scans.unpadded) @ _rows(some.unpadded).T, _POSSIBLE, _LIKELY, upright),
            (turned, _POSSIBLE_TURNED, _LIKELY_TURNED, turns),
        ):
            promising = _promising(np.where(known, -1, scores), possible, likely)
            for scan, case in zip(*np.nonzero(promising), strict=True):
                found[int(scan), int(numbers[case]), _TURNS[ways[scan, case]]] = None
        yield from found


def turned(scan: Signature, turn: Turn) -> Signature:
    """The signature of the scan turned and mirrored."""
    axes, steps = turn
    mirror = tuple(slice(None, None, step) for step in steps)
    depth, height, width = (scan.shape[axis] for axis in axes)
    values, flat = (blocks.transpose(axes)[mirror] for blocks in (scan.values, scan.flat))
    return Signature((depth, height, width), values, flat)


def content_frames(cells: Floats, shown: Floats) -> NDArray[np.float64]:
    """(N, 3, 2): centre and standard deviation, along each axis, of where neighbouring `cells` (N, D, H, W) differ.

    Both are in parts of the axis. Only cells that `shown` (0 or 1) has count, so that a padding moves nothing; a cut
    through what is shown moves it little.
    """
    edges = sum(np.gradient(cells, axis=axis) ** 2 for axis in (1, 2, 3)) * shown + 1e-12
    frames = []
    for axis, size in enumerate(cells.shape[1:], start=1):
        profile = edges.sum(axis=tuple({1, 2, 3} - {axis}), dtype=np.float64)
        profile = profile / profile.sum(axis=1, keepdims=True)
        places = (np.arange(size) + 0.5) / size
        centre = profile @ places
        frames.append((centre, np.sqrt(np.maximum(profile @ places**2 - centre**2, 0))))
    return np.array(frames).transpose(2, 0, 1)


@dataclass(frozen=True, eq=False)
class _Details:
    """What sets the cells of N scans apart from their neighbours, each (N, 16, 16, 16) unless it says otherwise."""

    turned: Floats
    """(N, 8, 8, 8), of length 1."""
    plain: Floats
    """Of length 1."""
    masked: Floats
    """Of what is not flat alone, zero elsewhere."""
    shown: Floats
    """1 where a cell is not flat, 0 elsewhere."""
    centred: Floats
    """Within the content's frame; of length 1."""
    unpadded: Floats
    """Within the box of what is not flat; of length 1."""

    @classmethod
    def of(cls, signatures: Sequence[Signature]) -> _Details:
        some = [cls._of_some(signatures[start : start + 64]) for start in range(0, len(signatures), 64)]  # in the cache
        return cls(*(np.concatenate([getattr(each, field.name) for each in some]) for field in fields(cls)))

    @classmethod
    def _of_some(cls, signatures: Sequence[Signature]) -> _Details:
        whole = [averaging(_CELLS, BLOCKS)] * 3
        values: Floats = np.stack([each.values for each in signatures]).astype(np.float32) / np.float32(255)
        flat: Floats = np.stack([each.flat for each in signatures]).astype(np.float32) / np.float32(255)
        cells = along_axes(whole, values)
        shown = surrounded(along_axes(whole, np.rint(flat)))
        framed = np.stack([along_axes(*each) for each in zip(_framing(cells, shown), values, strict=True)])
        unpadded = cells.copy()
        for index, matrices in _unpadding(flat):
            unpadded[index] = along_axes(matrices, values[index])
        equal = _equalised(cells)
        return cls(
            turned=_unit(_contrast(along_axes([averaging(_TURNED_CELLS, _CELLS)] * 3, equal))),
            plain=_unit(_contrast(equal)),
            masked=_unit(_contrast(cells) * shown),
            shown=shown,
            centred=_unit(_contrast(_equalised(framed))),
            unpadded=_unit(_contrast(_equalised(unpadded))),
        )

    def part(self, which: slice) -> _Details:
        """These of the scans."""
        return _Details(*(getattr(self, field.name)[which] for field in fields(self)))


def surrounded(flat: Floats) -> Floats:
    """1 where a cell and all of its neighbours are hardly flat, 0 elsewhere; `flat` (N, D, H, W) are shares."""
    hidden = (flat > 0.5).astype(np.float32)
    around = along_axes([smoothing(flat.shape[-1], (1, 1, 1))] * 3, hidden)
    return (around < 1e-3).astype(np.float32)


def _framing(cells: Floats, shown: Floats) -> Iterator[list[Floats]]:
    """For each of N scans the matrices that bring its content's frame to 16 x 16 x 16 cells."""
    for frame in content_frames(cells, shown):
        ends = [(BLOCKS * (centre - _REACH * spread), BLOCKS * (centre + _REACH * spread)) for centre, spread in frame]
        yield [averaging(_CELLS, BLOCKS, low, high) for low, high in ends]


def _unpadding(flat: Floats) -> Iterator[tuple[int, list[Floats]]]:
    """Which of N scans are padded, and the matrices that bring the box of what is not to 16 x 16 x 16 cells."""
    profiles = np.stack([1 - flat.min(axis=tuple({1, 2, 3} - {axis})) for axis in (1, 2, 3)], axis=1)
    for index in np.flatnonzero((profiles[:, :, [0, -1]] < 0.98).any(axis=(1, 2))):
        shares = profiles[index]
        filled = [np.flatnonzero(share > 0.02) if share.max() > 0.02 else np.array([0, BLOCKS - 1]) for share in shares]
        # An outermost block that is half padding ends the box in its middle.
        ends = [(at[0] + 1 - share[at[0]], at[-1] + share[at[-1]]) for at, share in zip(filled, shares, strict=True)]
        yield int(index), [averaging(_CELLS, BLOCKS, low, max(high, low + 1)) for low, high in ends]


def _equalised(volumes: Floats) -> Floats:
    """Each of N volumes in [0, 1] with its values spread more evenly: a window changes them less then.

    The contrast of a level grows by a limited factor, else the noise of air would outweigh a body.
    """
    values = _rows(volumes) * _LEVELS
    levels = np.minimum(values.astype(np.int64), _LEVELS - 1)
    shares = np.array([np.bincount(each, minlength=_LEVELS) for each in levels]) / levels.shape[1]
    limited = np.minimum(shares, _STEEPEST / _LEVELS)
    limited += (1 - limited.sum(axis=1, keepdims=True)) / _LEVELS
    limited, below = limited.astype(np.float32), (np.cumsum(limited, axis=1) - limited).astype(np.float32)
    height, steepness = (np.take_along_axis(each, levels, axis=1) for each in (below, limited))
    equal: Floats = height + steepness * (values - levels.astype(np.float32))
    return equal.reshape(volumes.shape)


def _contrast(cells: Floats) -> Floats:
    """What sets each cell apart from its neighbours."""
    return cells - along_axes([smoothing(cells.shape[-1], (1, 1, 1))] * 3, cells)


def _unit(volumes: Floats) -> Floats:
    lengths = np.sqrt((volumes**2).sum(axis=(1, 2, 3), keepdims=True))
    scaled: Floats = volumes / np.maximum(lengths, np.float32(1e-6))
    return scaled


def _rows(volumes: Floats) -> Floats:
    return volumes.reshape(len(volumes), -1)


def _promising(scores: Floats, possible: float, likely: float) -> NDArray[np.bool_]:
    """Which pairs (corpus, cases) are worth a closer look."""
    best = np.zeros(scores.shape, bool)
    best[scores.argmax(axis=0), np.arange(scores.shape[1])] = True
    return (best & (scores > possible)) | (scores > likely)


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
    """(8, N, 64): what is even and odd along each axis of (N, 8, 8, 8)."""
    half = _TURNED_CELLS // 2
    parts: NDArray[Any] = volumes[None]
    for axis in (2, 3, 4):
        ahead = parts.take(range(half), axis)
        back = np.flip(parts.take(range(half, _TURNED_CELLS), axis), axis)
        parts = np.stack((ahead + back, ahead - back), axis=1).reshape(-1, *ahead.shape[1:]) / np.float32(np.sqrt(2))
    return parts.reshape(8, len(volumes), -1)
