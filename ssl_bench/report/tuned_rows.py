"""Rows whose options ``ssl-bench tune`` chose: how they are called, and what is said of the choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from ssl_bench.report.table import Table
from ssl_bench.spec.record import TunedOn

UNTUNED = "No row was tuned by ssl-bench tune."


def tuning_notes(table: Table, code: Callable[[str], str], text: Callable[[str], str]) -> Iterator[str]:
    """On which tasks the options of which rows were chosen, what they are, and which rows were not tuned.

    `code` writes names and digests as a format does, `text` other words out of a record.
    """
    tuned = {place: _tuned_on(lines) for place, lines in table.cells.groupby("_row")}
    ways: dict[TunedOn, list[str]] = {}
    for place, found in tuned.items():
        if found is not None:
            ways.setdefault(found.model_copy(update={"trials": ""}), []).append(_row(table, place, found, code, text))
    for way, rows in ways.items():
        changed = f" and {', '.join(map(code, way.overrides))}" if way.overrides else ""
        yield (
            f"Tuned on {text(', '.join(task.upper() for task in way.tasks))} by the validation score under "
            f"{code(way.protocol)}{changed} ({way.configurations} configurations a row, seeds "
            f"{', '.join(map(str, way.seeds))}; no trial read a test case): {'; '.join(rows)}. Nothing was tuned on "
            "other tasks, nor on real data."
        )
    left = [code(table.rows[place].label) for place, found in tuned.items() if found is None]
    if ways and left:
        yield f"Not tuned: {', '.join(left)}."
    elif not ways:
        yield UNTUNED


def _tuned_on(lines: pd.DataFrame) -> TunedOn | None:
    """What some cell of a row says; one that ran before the tuning chose what it had already says nothing."""
    return next((setting.tuned_on for setting in lines["_setting"] if setting.tuned_on), None)


def _row(table: Table, place: Any, found: TunedOn, code: Callable[[str], str], text: Callable[[str], str]) -> str:
    options = table.cells.loc[table.cells["_row"] == place, "options"].iloc[0]
    return f"{code(table.rows[place].label)} (trials {code(found.trials)}: {text(options or 'its defaults')})"
