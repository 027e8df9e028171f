"""A data set of image files and label files that belong together by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ssl_bench.api.cases import Found, Problem
from ssl_bench.api.dataset import Dataset
from ssl_bench.data.layouts.folders import existing_folder, files_below, pair
from ssl_bench.data.layouts.named_structures import DESCRIPTION, with_structures


@dataclass(frozen=True)
class Naming:
    """How one release of a data set names its files.

    The patterns are searched, in any case, in a file's path with forward slashes from the root's own name on; their
    group ``case`` is the patient.
    """

    shown: str
    """One example, for messages."""
    image: str
    label: str

    def group(self, files: Iterable[Path], root: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
        """The images and the labels of this naming among `files` below `root`, by case."""
        images: dict[str, list[Path]] = {}
        labels: dict[str, list[Path]] = {}
        for file in files:
            name = f"{root.resolve().name}/{file.relative_to(root).as_posix()}"
            for pattern, group in ((self.image, images), (self.label, labels)):
                if match := re.search(pattern, name, re.IGNORECASE):
                    group.setdefault(match["case"], []).append(file)
        return images, labels


@dataclass(frozen=True, kw_only=True)
class PairedFiles(Dataset):
    """Cases at any depth of a folder, in whichever of the `namings` it has."""

    namings: tuple[Naming, ...]
    """Those of its releases, which hold the same patients: two of them in one folder are a problem."""
    structures: tuple[str, ...] = ()
    """Names of the classes, in the order of `label_values`, by which a data set in nnU-Net's raw format is read too."""

    def at(self, root: Path) -> Dataset:
        """See `Dataset`: where the folder has nnU-Net's ``dataset.json``, the classes are found by their names."""
        if not self.structures or not (root / DESCRIPTION).is_file():
            return self
        return with_structures(root, dict(zip(self.structures, self.label_values, strict=True)), self.preprocessing)

    def find(self, root: Path) -> Found:
        """See `Dataset`."""
        files, problems = files_below(existing_folder(root))
        grouped = [(naming.shown, *naming.group(files, root)) for naming in self.namings]
        present = [(shown, images, labels) for shown, images, labels in grouped if images or labels]
        if len(present) == 1:
            shown, images, labels = present[0]
            found = pair(images, labels, shown)
            return Found(found.cases, problems + found.problems)
        if present:
            both = " and ".join(shown for shown, _, _ in present)
            problems.append(Problem(root, f"holds two releases of the same patients ({both}); name a folder with one"))
        elif not problems:
            expected = " or ".join(naming.shown for naming in self.namings)
            problems.append(Problem(root, f"holds no case; expected {expected}, at any depth"))
        return Found([], problems)
