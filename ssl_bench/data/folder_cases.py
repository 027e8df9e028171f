"""Volumes for the engine out of prepared folders, checked against what a cell was planned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_bench.api.task import SPLITS, Case, Split
from ssl_bench.data.preprocessing.prepared import load
from ssl_bench.data.splits import in_random_order
from ssl_bench.data.user_data import UserData
from ssl_bench.errors import UserError
from ssl_bench.spec.locations import Sources
from ssl_bench.spec.specification import CorpusSpec, DataSpec


def load_folder_cases(task: str, spec: DataSpec, sources: Sources) -> dict[Split, list[Case]]:
    """The cases of every split. Raises UserError if the folder no longer holds what `spec` was resolved from."""
    folder = UserData(sources, {task: spec.recipe}).task(task)
    if folder is None or folder.spec(spec.fold or 0, spec.label_fraction) != spec:
        raise _changed(sources.data_roots.get(task), "--data-root")
    return {
        split: [load(folder.cases[name]) for name in folder.identifiers(split, spec.fold or 0, spec.label_fraction)]
        for split in SPLITS
    }


def load_folder_corpus(
    spec: CorpusSpec, sources: Sources
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """The scans that are trained on, and those held out.

    Raises UserError if the folder no longer holds what `spec` was resolved from.
    """
    folder = UserData(sources, {"corpus": spec.recipe}).corpus
    if folder is None or folder.spec(spec.held_out) != spec:
        raise _changed(sources.corpus, "--corpus")
    names = in_random_order("held-out", [scan.case.identifier for scan in folder.scans])
    held_out = set(names[: spec.held_out])
    scans = {scan.case.identifier: load(scan).image for scan in folder.scans}
    return [scans[name] for name in scans if name not in held_out], [scans[name] for name in scans if name in held_out]


def _changed(root: Path | None, option: str) -> UserError:
    return UserError(
        f"{option} {root}: no longer holds what this cell was planned from; plan it again with ssl-bench run or matrix"
    )
