"""The leak guard: scans of a pre-training corpus that are also in a task's validation or test set.

Two scans are the same if their voxels are, whatever their files are called, their format, their header, their
orientation or an offset and scale of their values. Copies that were resampled or cropped escape.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ssl_bench.data.preprocessing.signature import Signature

TOLERANCE = 1e-3
"""Largest difference of block means, as a fraction of the scan's range: formats round values differently."""


def same_scans(
    corpus: Sequence[tuple[str, Signature]], cases: Sequence[tuple[str, Signature]]
) -> list[tuple[str, str]]:
    """Pairs of names, one of the corpus and one of the cases, that are the same scan."""
    by_shape: dict[tuple[int, ...], list[tuple[str, NDArray[np.float32]]]] = defaultdict(list)
    for name, signature in corpus:
        by_shape[tuple(sorted(signature.shape))].append((name, signature.blocks))
    found = []
    for name, signature in cases:
        candidates = by_shape.get(tuple(sorted(signature.shape)), [])
        if candidates:
            blocks = np.stack([blocks for _, blocks in candidates])
            same = np.zeros(len(candidates), bool)
            for turned in _orientations(signature.blocks):
                same |= np.abs(blocks - turned).max(axis=(1, 2, 3)) < TOLERANCE
            found += [(candidates[index][0], name) for index in np.flatnonzero(same)]
    return found


def _orientations(blocks: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The 48 ways to turn and mirror a cube."""
    for axes in itertools.permutations(range(3)):
        turned = blocks.transpose(axes)
        for steps in itertools.product((1, -1), repeat=3):
            yield turned[tuple(slice(None, None, step) for step in steps)]
