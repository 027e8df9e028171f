"""Label maps among the scans of a folder, as far as their names and their neighbours tell them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from ssl_bench.api.cases import Found, Problem
from ssl_bench.data.layouts.identifiers import without_suffix

EMPTY = "every voxel is 0"
"""The reason of a label map without labels, which its voxels do not tell from a broken scan."""

_LABEL_FILE = re.compile(r"(?P<scan>.+)[._-](labels?|seg|segmentation|dseg|probseg|prob|probability)", re.IGNORECASE)
"""The name of a label file, without its suffix, that begins with its scan's name."""
_LABEL_WORD = re.compile(r"label|seg|mask|msk|annot|(?<![a-z])(gt|roi)(?![a-z])", re.IGNORECASE)
"""What paths of label files have in them, and those of some scans too."""


def named_label_maps(volumes: Sequence[Path]) -> list[Problem]:
    """Of `volumes` those that are called like a scan beside them with a word for labels: ``1.label`` by ``1.img``."""
    names = {path: without_suffix(path.name) for path in volumes}
    scans = {path: match["scan"] for path, name in names.items() if (match := _LABEL_FILE.fullmatch(name))}
    others: dict[Path, list[Path]] = defaultdict(list)
    for path in volumes:
        if path not in scans:
            others[path.parent].append(path)
    found = []
    for path, scan in scans.items():
        of_it = re.compile(rf"{re.escape(scan)}([^A-Za-z0-9]|$)")
        beside = next((other for other in others[path.parent] if of_it.match(names[other])), None)
        if beside:
            found.append(Problem(path, f"its name says that it labels {beside.name}", is_label_map=True))
    return found


def label_maps_among(found: Found, met: Sequence[Problem], root: Path) -> tuple[list[Problem], list[Problem]]:
    """The label maps in a corpus, and the problems: those that were `found` with it and those that reading it `met`.

    One that is 0 everywhere is a label map only where its path or label maps in its folder say so; else it is a scan
    that is broken.
    """
    told = [problem for problem in met if problem.is_label_map]
    folders = {problem.path.parent for problem in [*found.label_maps, *told] if problem.reason != EMPTY}
    broken = [problem for problem in told if problem.reason == EMPTY and not _says_labels(problem.path, folders, root)]
    problems = [Problem(problem.path, f"{EMPTY}; replace the file or leave the case out") for problem in broken]
    problems += [problem for problem in met if not problem.is_label_map]
    return [*found.label_maps, *(problem for problem in told if problem not in broken)], [*found.problems, *problems]


def _says_labels(path: Path, folders: Collection[Path], root: Path) -> bool:
    below = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    return path.parent in folders or bool(_LABEL_WORD.search(below))
