"""Over what a correction for many tests runs; by itself, for the command line to read without the statistics."""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """The tests that Holm's correction takes together."""

    column = "column"
    """Those of each column by themselves: a claim about one column."""
    table = "table"
    """Those of all columns of a table: a claim about any of them."""
