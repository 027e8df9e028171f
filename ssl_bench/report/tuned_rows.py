"""Rows whose options ``ssl-bench tune`` chose: how they are called, and what is said of the choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from ssl_bench.report.table import Table
from ssl_bench.spec.record import TunedOn

UNTUNED = "No row was tuned by ssl-bench tune: learning rates, schedules and batches are the preset's."


def tuning_notes(table: Table, code: Callable[[str], str], text: Callable[[str], str]) -> Iterator[str]:
    """On which tasks the options of which rows were chosen, what they are, and which rows were not tuned.

    `code` writes names and digests as a format does, `text` other words out of a record.
    """
    tuned = {place: _tuned_on(lines) for place, lines in table.cells.groupby("_row")}
    ways: dict[tuple[Any, ...], list[str]] = {}
    for place, found in tuned.items():
        if found is not None:
            way = (found.tasks, found.protocol, found.seeds, found.configurations)
            ways.setdefault(way, []).append(_row(table, place, found, code, text))
    for (tasks, protocol, seeds, configurations), rows in ways.items():
        named = text(", ".join(task.upper() for task in tasks))
        yield (
            f"Tuned on {named} by the validation score under {code(protocol)} ({configurations} configurations a row, "
            f"seeds {', '.join(map(str, seeds))}; no trial read a test case): {'; '.join(rows)}. Nothing was tuned on "
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
