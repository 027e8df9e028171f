"""Columns that grow by the lines of one record after another, and become a data frame."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
import pandas as pd


class Columns:
    """Numbers by column, some lines at a time; texts are kept once."""

    def __init__(self, numbers: Sequence[str], texts: Sequence[str]) -> None:
        self._places = array("i")
        self._numbers = {name: array("d") for name in numbers}
        self._codes = {name: array("i") for name in texts}
        self._texts: dict[str, dict[str, int]] = {name: {} for name in texts}
        self._known: dict[tuple[str, tuple[str, ...]], array[int]] = {}
        self._undefined = array("d", [nan])

    def add(self, place: int, texts: Mapping[str, Sequence[str]], numbers: Mapping[str, Sequence[Any]]) -> None:
        """Append lines about the cell at `place`, as many as the columns are long; numbers not given are NaN."""
        count = len(next(iter(texts.values())))
        for name, values in texts.items():
            self._codes[name].extend(self._codes_of(name, tuple(values)))
        for name, column in self._numbers.items():
            given = numbers.get(name)
            if given is None:
                column.extend(self._undefined * count)
            elif set(map(type, given)) <= {float, bool}:
                column.extend(given)
            else:
                column.extend(map(as_float, given))
        self._places.extend(array("i", [place]) * count)

    def _codes_of(self, name: str, values: tuple[str, ...]) -> array[int]:
        """The codes of `values`; most cells have the cases of another one, so that they are worked out once."""
        codes = self._known.get((name, values))
        if codes is None:
            known = self._texts[name]
            codes = array("i", [known.setdefault(value, len(known)) for value in values])
            self._known[name, values] = codes
        return codes

    def frame(self) -> pd.DataFrame:
        """All lines, in the order in which they came."""
        texts = {
            name: pd.Categorical.from_codes(np.asarray(codes), list(self._texts[name]))
            for name, codes in self._codes.items()
        }
        numbers = {name: np.asarray(values) for name, values in self._numbers.items()}
        return pd.DataFrame({"cell": np.asarray(self._places), **texts, **numbers})


def as_float(value: Any) -> float:
    """The number that a record holds; NaN where it is none, or an integer larger than any float."""
    try:
        return float(value) if isinstance(value, int | float) else nan
    except OverflowError:
        return nan


def one_against_the_rest(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each case and class of a record: the class's probability, and whether the case is of it."""
    return [
        {field: case[field] for field in ("case", "subject") if field in case}
        | {"class": name, "probability": probability, "label": int(name == case.get("class"))}
        for case in cases
        for name, probability in (case.get("probabilities") or {}).items()
    ]


def case_columns() -> Columns:
    """For what records hold of a case, whatever its metric."""
    numbers = ["dsc", "probability", "label", "prediction", "error_mm", "average_precision"]
    return Columns(numbers, ["case", "subject", "partner", "class"])
