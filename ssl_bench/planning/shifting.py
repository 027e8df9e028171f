"""Evaluations that are scored under shifts of their test cases besides."""

from __future__ import annotations

from collections.abc import Sequence

from ssl_bench.api.measurement import Measurement
from ssl_bench.api.registry import PROTOCOLS
from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell


def under_shifts(cells: Sequence[Cell], shifts: Sequence[str]) -> list[Cell]:
    """`cells`, evaluations, scored under `shifts`, versioned names, as well; as they are for none.

    Snapshots in the midst of a pre-training are left as they are: no table asks how robust they are. So are
    protocols without a gradient, which look at several cases together. Raises UserError if that leaves none.
    """
    shifted = [_shifted(cell, tuple(shifts)) if _is_scored_under_shifts(cell) else cell for cell in cells]
    if shifts and not any(cell.evaluation.shifts for cell in shifted):
        names = ", ".join(sorted({cell.evaluation.protocol for cell in cells}))
        raise UserError(f"--shifts: no shifts for {names}; name a protocol that trains, or leave --shifts out")
    return shifted


def _is_scored_under_shifts(cell: Cell) -> bool:
    trains = not issubclass(PROTOCOLS.load(cell.evaluation.protocol), Measurement)
    return trains and cell.evaluation.snapshot is None


def _shifted(cell: Cell, shifts: tuple[str, ...]) -> Cell:
    return cell.model_copy(update={"spec": cell.evaluation.model_copy(update={"shifts": shifts})})
