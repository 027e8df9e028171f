"""Cells of one column met the same cases, or the column is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.report.table import Table

NAMED = 3
"""So many cells of a digest are named; the others are counted."""


def check_cases(table: Table) -> None:
    """Raise UserError if two cells of a column met other voxels or labels under one name, or one does not say which.

    Their scores would stand side by side, and their cases would be paired in tests.
    """
    for column in table.columns:
        for _, lines in table.lines(column).groupby("fold"):
            if lines["cases_digest"].nunique() <= 1:
                continue
            sets = sorted((found for _, found in lines.groupby("cases_digest")), key=len)
            raise UserError(
                f"{column[0]} under {column[1]}, preset {table.setting.preset}: its cells met different cases: "
                f"{' and '.join(map(_said, sets))}; run those that are stale anew with --rerun all, which ssl-bench "
                "run, evaluate and matrix take, or report a folder without them"
            )


def _said(cells: pd.DataFrame) -> str:
    """Cells of one digest of cases, in words."""
    digest = cells["cases_digest"].iloc[0]
    named = [
        f"{row} seed {seed} [{key}]"
        for row, seed, key in zip(cells["row"][:NAMED], cells["seed"][:NAMED], cells["key"][:NAMED], strict=True)
    ]
    more = f" and {len(cells) - NAMED} more" if len(cells) > NAMED else ""
    return f"{', '.join(named)}{more} {f'those of digest {digest}' if digest else 'no recorded ones'}"
