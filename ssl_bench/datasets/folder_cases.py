"""Volumes for the engine out of prepared folders, checked against what a cell was planned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_bench.cells.science import FolderCorpusScience, FolderDataScience
from ssl_bench.datasets.preparing.prepared import load
from ssl_bench.datasets.sources import Sources
from ssl_bench.datasets.splits import in_random_order
from ssl_bench.datasets.user_data import UserData
from ssl_bench.errors import UserError
from ssl_bench.task import SPLITS, Case, Split


def load_folder_cases(task: str, science: FolderDataScience, sources: Sources) -> dict[Split, list[Case]]:
    """The cases of every split. Raises UserError if the folder no longer holds what `science` was resolved from."""
    folder = UserData(sources, {task: science.recipe}).task(task)
    if folder is None or folder.science(science.fold, science.label_fraction) != science:
        raise _changed(sources.data_roots.get(task), "--data-root")
    return {
        split: [load(folder.cases[name]) for name in folder.identifiers(split, science.fold, science.label_fraction)]
        for split in SPLITS
    }


def load_folder_corpus(
    science: FolderCorpusScience, sources: Sources
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """The scans that are trained on, and those held out.

    Raises UserError if the folder no longer holds what `science` was resolved from.
    """
    folder = UserData(sources, {"corpus": science.recipe}).corpus
    if folder is None or folder.science(science.held_out) != science:
        raise _changed(sources.corpus, "--corpus")
    names = in_random_order("held-out", [scan.case.identifier for scan in folder.scans])
    held_out = set(names[: science.held_out])
    scans = {scan.case.identifier: load(scan).image for scan in folder.scans}
    return [scans[name] for name in scans if name not in held_out], [scans[name] for name in scans if name in held_out]


def _changed(root: Path | None, option: str) -> UserError:
    return UserError(
        f"{option} {root}: no longer holds what this cell was planned from; plan it again with ssl-bench run or matrix"
    )
