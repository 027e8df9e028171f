"""A data set's folder: what lies in it, and which label belongs to which image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.settings import SplitCounts
from ssl_bench.data.io.formats import natural_key, walk
from ssl_bench.data.layouts.identifiers import safe_identifiers, safe_name
from ssl_bench.errors import UserError

Files = Mapping[str, Sequence[Path]]
"""Files by the name of their case; more than one only where something is wrong."""

PROPORTIONS = SplitCounts(train=3, validation=1, test=1)
"""How a data set of the user's is split that does not say it."""


def pair(images: Files, labels: Files, expected: str) -> Found:
    """Cases of one image and one label file each; whatever stands alone or twice is a problem. Patients are cases."""
    names = sorted({*images, *labels}, key=natural_key)
    cases: list[SourceCase] = []
    problems: list[Problem] = []
    for name, identifier in zip(names, safe_identifiers(names), strict=True):
        image, label = images.get(name, ()), labels.get(name, ())
        if len(image) == len(label) == 1:
            cases.append(SourceCase(identifier, image[0], label[0], patient=name))
        if not label:
            problems.append(Problem(image[0], f"has no label; add it or remove the image (expected {expected})"))
        if not image:
            problems.append(Problem(label[0], f"has no image; add it or remove the label (expected {expected})"))
        problems += repeated(name, image) + repeated(name, label)
    return Found(in_order(cases), problems)


def repeated(name: str, files: Sequence[Path]) -> list[Problem]:
    """A problem for each file but the first that holds the same part of case `name`."""
    return [Problem(file, f"is {name} a second time, beside {files[0]}; keep one of them") for file in files[1:]]


def in_order(cases: Iterable[SourceCase]) -> list[SourceCase]:
    """`cases` in the order of their identifiers, numbers counted as numbers."""
    return sorted(cases, key=lambda case: natural_key(case.identifier))


def existing_folder(root: Path) -> Path:
    """`root`, if it is a folder; raises UserError otherwise."""
    try:
        if root.is_dir():
            return root
        reason = "is a file" if root.exists() else "no such folder"
    except OSError as error:
        reason = f"cannot be opened ({error.strerror})"
    raise UserError(f"{root}: {reason}; name the folder that holds the data set")


def data_set_name(folder: Path) -> str:
    """The folder's name, fit for a task's name. Raises UserError if there is no such folder."""
    return safe_name(existing_folder(folder).resolve().name)


def files_below(root: Path) -> tuple[list[Path], list[Problem]]:
    """Every file below `root`, in natural order, and the folders that cannot be listed; see `walk`."""
    files: list[Path] = []
    problems: list[Problem] = []
    for folder, found in walk(root):
        if isinstance(found, OSError):
            problems.append(Problem(folder, f"cannot be listed ({found.strerror}); allow it to be read"))
        else:
            files += found
    return sorted(files, key=lambda file: natural_key(file.as_posix())), problems
