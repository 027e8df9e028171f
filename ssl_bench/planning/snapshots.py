"""The snapshots of pre-trainings, and the evaluations that read them."""

from __future__ import annotations

from collections.abc import Iterable

from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell

MOST = 64
"""Snapshots of one pre-training, each a copy of its backbone: more would fill disks and tell nothing new."""


def snapshot_steps(count: int, steps: int) -> list[int]:
    """So many different steps, log-spaced from the first update to the last of `steps`, ascending.

    Where rounding brings two together, the later one moves on. Raises UserError where `count` is no such number.
    """
    if not 0 < count <= min(steps, MOST):
        most = f"the {steps} steps of the pre-training" if steps <= MOST else f"{MOST}"
        raise UserError(f"--snapshots {count}: use at least 1 and at most {most}")
    found: list[int] = []
    for place in range(count):
        spaced = round(steps ** (place / (count - 1))) if count > 1 else steps
        later = count - 1 - place
        found.append(min(max(spaced, found[-1] + 1 if found else 1), steps - later))
    return found


def keeping_snapshots(pretraining: Cell, count: int) -> Cell:
    """`pretraining` with so many snapshots, of which the last is its end, that is its backbone itself."""
    return pretraining.model_copy(update={"snapshots": tuple(snapshot_steps(count, pretraining.backbone.steps)[:-1])})


def along_snapshots(cells: Iterable[Cell], count: int | None) -> list[Cell]:
    """`cells` and, before each that rests on a pre-training, the same for each of its snapshots; as they are for None.

    The last snapshot is the end of the pre-training: the cell itself, under the key that it always has. Raises
    UserError where nothing is pre-trained.
    """
    if count is None:
        return list(cells)
    found: list[Cell] = []
    for cell in cells:
        pretraining = cell.pretraining
        steps = keeping_snapshots(pretraining, count).snapshots if pretraining else ()
        whole = cell.model_copy(update={"snapshots": steps})
        found += [
            whole.model_copy(update={"spec": cell.evaluation.model_copy(update={"snapshot": step})}) for step in steps
        ]
        found.append(whole)
    if all(cell.pretraining is None for cell in found):
        raise UserError(f"--snapshots {count}: no method that is named pre-trains; leave it out")
    return found
