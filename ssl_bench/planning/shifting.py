"""Evaluations that are scored under shifts of their test cases besides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ssl_bench.spec.cell import Cell


def under_shifts(cells: Iterable[Cell], shifts: Sequence[str]) -> list[Cell]:
    """`cells`, evaluations, scored under `shifts`, versioned names, as well; as they are for none.

    Snapshots in the midst of a pre-training are left as they are: no table asks how robust they are.
    """
    return [_shifted(cell, tuple(shifts)) if cell.evaluation.snapshot is None else cell for cell in cells]


def _shifted(cell: Cell, shifts: tuple[str, ...]) -> Cell:
    return cell.model_copy(update={"spec": cell.evaluation.model_copy(update={"shifts": shifts})})
