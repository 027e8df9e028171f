"""What a pre-training keeps beside its backbone as files: its snapshots, and the heads by which its method matches."""

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


def matching_file(folder: Path) -> Path:
    """The file of the heads by which the method matches, in the folder of a pre-training's backbone."""
    return folder / "matching.safetensors"


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
