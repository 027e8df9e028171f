"""The leak guard: scans of a pre-training corpus that are also in a task's validation or test set.

A copy is found whatever its file is called, in whatever format and orientation it is saved, and if it was clipped,
windowed, padded, masked, smoothed, resampled, moved or cropped a little. How well: docs/data.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ssl_bench.data.copy_alignment import is_copy
from ssl_bench.data.copy_candidates import candidates
from ssl_bench.data.preprocessing.case_folder import PreparedCase
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


def held_again(cases: Sequence[PreparedCase]) -> str:
    """A line on how many of `cases` hold what an earlier one holds, in every channel; empty if none does.

    Signatures have to be equal, so that it costs as much as reading them and may be asked before every run: changed
    copies are for `same_scans`, which compares all pairs.
    """
    first: dict[bytes, str] = {}
    again = [
        (case, earlier)
        for case in cases
        if (earlier := first.setdefault(_content(case), case.identifier)) != case.identifier
    ]
    if not again:
        return ""
    case, earlier = again[0]
    return (
        f"{len(again)} of {len(cases)} scans hold the same voxels as one before them (the first: {case.identifier}, as "
        f"{earlier}); training sees them twice, and a split may part them; take them out, which ssl-bench data check "
        "names"
    )


def _content(case: PreparedCase) -> bytes:
    digest = hashlib.sha256()
    for each in case.signatures:
        digest.update(repr(each.shape).encode() + each.values.tobytes() + each.flat.tobytes())
    return digest.digest()
