"""Evaluations that are scored under shifts of their test cases besides."""

from __future__ import annotations

from collections.abc import Sequence

from ssl_bench.api.controls import Control
from ssl_bench.api.shift import shifts_called
from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell

BLIND: tuple[Control, ...] = ("position", "identity")
"""Controls that do not look at what voxels hold."""


def under_shifts(cells: Sequence[Cell], shifts: Sequence[str]) -> tuple[list[Cell], list[str]]:
    """`cells`, evaluations, scored under `shifts`, versioned names, as well; why some stay without, each reason once.

    They are as they were for no shifts. Raises UserError if none is scored under them.
    """
    if not shifts:
        return list(cells), []
    reasons = [why_unshifted(cell, shifts) for cell in cells]
    if all(reasons):
        raise UserError(f"--shifts: {'; '.join(dict.fromkeys(reasons))}; name a method, or leave --shifts out")
    shifted = [cell if why else _shifted(cell, tuple(shifts)) for cell, why in zip(cells, reasons, strict=True)]
    return shifted, list(dict.fromkeys(filter(None, reasons)))


def why_unshifted(cell: Cell, shifts: Sequence[str]) -> str:
    """Why no table asks how robust `cell` is under `shifts`, versioned names; empty where one does."""
    spec = cell.evaluation
    if spec.control == "truth":
        return f"{spec.row} knows every shift"
    asked = shifts_called(shifts)
    if spec.control in BLIND and not any(shift.moves for shift in asked):
        return f"{spec.row} sees no intensities, and nothing else is changed by {', '.join(one.name for one in asked)}"
    return "snapshots are read without shifts" if spec.snapshot is not None else ""


def _shifted(cell: Cell, shifts: tuple[str, ...]) -> Cell:
    return cell.model_copy(update={"spec": cell.evaluation.model_copy(update={"shifts": shifts})})
