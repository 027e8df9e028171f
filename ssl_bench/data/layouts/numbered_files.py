"""Files of one scan's channels beside each other, with nnU-Net's numbers at the end of their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ssl_bench.api.cases import Problem
from ssl_bench.data.layouts.folders import repeated
from ssl_bench.data.layouts.identifiers import without_suffix

_NUMBERED = re.compile(r"(?P<case>.+)_(?P<number>\d{4})")
Case = tuple[Path, str]
"""A scan's folder, and its name without a channel's number."""


def numbered_files(
    volumes: Sequence[Path], channels: int
) -> tuple[dict[Case, tuple[Path | None, ...]], list[Problem], list[Problem]]:
    """The files of every scan among `volumes`, one for each of so many `channels`, None for one that is not there.

    ``a_0000.nii.gz`` is channel 0 of scan ``a``. Also what is wrong with others, and those that are called as a scan
    without a number, as nnU-Net's label maps are.
    """
    found: dict[Case, list[Path | None]] = {}
    problems: list[Problem] = []
    others: list[Path] = []
    last = f"_0000 to _{channels - 1:04d}"
    for path in volumes:
        match = _NUMBERED.fullmatch(path.name if path.is_dir() else without_suffix(path.name))
        if not match:
            others.append(path)
        elif int(match["number"]) >= channels:
            problems.append(Problem(path, f"has a number beyond its channels, {last}; declare more or take it away"))
        else:
            files = found.setdefault((path.parent, match["case"]), [None] * channels)
            earlier = files[int(match["number"])]
            if earlier:
                problems += repeated(match[0], [earlier, path])
            files[int(match["number"])] = earlier or path
    names = {name for _, name in found}
    label_maps = [path for path in others if without_suffix(path.name) in names]
    reason = f"has no channel's number, {last}, at the end of its name; add it or take the file away"
    problems += [Problem(path, reason) for path in others if path not in label_maps]
    called = "is called as a scan without a channel's number"
    return (
        {case: tuple(files) for case, files in found.items()},
        problems,
        [Problem(path, called, is_label_map=True) for path in label_maps],
    )
