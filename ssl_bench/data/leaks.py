"""The leak guard: scans of a pre-training corpus that are also in a task's validation or test set.

A copy is found whatever its file is called, in whatever format and orientation it is saved, and if it was clipped,
windowed, padded, masked, smoothed, resampled, moved or cropped a little. How well: docs/data.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from ssl_bench.data.copy_alignment import is_copy
from ssl_bench.data.copy_candidates import candidates
from ssl_bench.data.preprocessing.signature import Signature


def same_scans(
    corpus: Sequence[tuple[str, Signature]], cases: Sequence[tuple[str, Signature]]
) -> list[tuple[str, str]]:
    """Pairs of names, one of the corpus and one of the cases, that are the same scan.

    Of a corpus that is compared with itself (`cases` is `corpus`) each pair comes once, the earlier scan first.
    """
    if not corpus or not cases:
        return []
    scans = [signature for _, signature in corpus]
    others = scans if cases is corpus else [signature for _, signature in cases]
    found = {(j, i) for i, j, turn in candidates(scans, others) if is_copy(scans[i], others[j], turn)}
    return [(corpus[i][0], cases[j][0]) for j, i in sorted(found)]
