"""By what the rows of one method are told apart: their options, and the version where there are several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

_ROW = ["setting", "data", "paradigm", "method", "options"]
"""What the cells of a row have in common, but for the version."""

_STEM = r"(?:^|, )stem (\w+)$"
"""How `changed_title` ends the options of a cell that has a stem."""


def row_options(cells: pd.DataFrame) -> list[str]:
    """The options of each line, and the version of the code or file where its table holds several under one name."""
    cells = cells.assign(options=_with_stems(cells))
    versions = cells["_version"].where(_several_versions(cells), "")
    return [", ".join(filter(None, pair)) for pair in zip(_shown_options(cells), versions, strict=True)]


def _with_stems(cells: pd.DataFrame) -> pd.Series:
    """The options of each line with the stem of its row: where channels are equal none is needed, and any may be meant.

    Of a method with several stems such a line stays apart.
    """
    stems, bare = cells["options"].str.extract(_STEM)[0], cells["options"].str.replace(_STEM, "", regex=True)
    alike = stems.groupby([*(cells[name] for name in (*_ROW[:-1], "corpus")), bare], sort=False, dropna=False)
    joins = stems.isna() & (alike.transform("nunique") == 1)
    named = bare + bare.map(lambda options: ", stem " if options else "stem ") + alike.transform("first")
    return cells["options"].mask(joins, named)


def _shown_options(cells: pd.DataFrame) -> list[str]:
    """The options of each line; in place of those that tuning chose a word, where the method has other rows too."""
    row = [cells[name] for name in _ROW]
    trials = pd.Series([one.tuned_on.trials if one.tuned_on else "" for one in cells["_setting"]], cells.index, object)
    # A cell may have run before tuning chose its options: one that ran afterwards speaks for the row.
    trials = trials.groupby(row, sort=False, dropna=False).transform("max")
    alone = cells["options"].groupby(row[:-1], sort=False, dropna=False).transform("nunique") == 1
    chosen = trials.where(cells["options"] != "", "")
    unique = chosen.where(chosen != "").groupby(row[:-1], sort=False, dropna=False).transform("nunique") <= 1
    return [
        options if not digest else "" if sole else "tuned" if one else f"tuned, trials {digest}"
        for options, digest, sole, one in zip(cells["options"], chosen, alone, unique, strict=True)
    ]


def _several_versions(cells: pd.DataFrame) -> pd.Series:
    return cells.groupby(_ROW, sort=False, dropna=False)["_version"].transform("nunique") > 1


def changed_options(options: Mapping[str, Any]) -> str:
    """The options that differ from a method's defaults, in words."""
    return ", ".join(f"{name}={value}" for name, value in sorted(options.items()))
