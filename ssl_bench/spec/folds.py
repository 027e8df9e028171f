"""Which cross-validation a fold belongs to: in plans and records, never hashed, for a key holds the fold itself."""

from __future__ import annotations

from pydantic import PositiveInt

from ssl_bench.api.settings import Settings


class CrossValidation(Settings):
    """Folds of one data set that together test every case at most once, so that reports may pool their cases."""

    digest: str
    """Of which case is where in all of its folds."""
    folds: PositiveInt
    """How many there are."""
    dealt: bool = False
    """Whether they were dealt as ``ssl-bench data split`` does; else a file says them."""
