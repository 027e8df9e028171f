"""The snapshots of a pre-training as files: where each lies, and whether those that are wanted are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_bench.weights.digest import tensors_digest

if TYPE_CHECKING:
    from ssl_bench.spec.record import AnyRecord


def snapshot_file(folder: Path, step: int) -> Path:
    """The file of the snapshot after so many steps, in the folder of a pre-training's snapshots."""
    return folder / f"{step}.safetensors"


def has_snapshots(record: AnyRecord, steps: Sequence[int], folder: Path) -> bool:
    """Whether the snapshots of `steps` are in `folder`, as the `record` of their pre-training says they were written.

    An evaluation needs none of its own.
    """
    if record.kind == "evaluation":
        return True
    digests = {snapshot.step: snapshot.sha256 for snapshot in record.snapshots}
    return all(step in digests and _digest(snapshot_file(folder, step)) == digests[step] for step in steps)


def _digest(path: Path) -> str:
    """Empty for a file that is not there or does not read."""
    try:
        return tensors_digest(path)
    except (OSError, ValueError):
        return ""
