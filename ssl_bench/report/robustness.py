"""How the rows of a table score under graded shifts of their test cases."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ssl_bench.api.metric import Metric
from ssl_bench.api.shift import GRADES, SHIFTS
from ssl_bench.report.cell_text import interval_text
from ssl_bench.report.comparison import Difference, Summary, subtract, summarise
from ssl_bench.report.markdown_table import escaped, markdown_table
from ssl_bench.report.scores import read_scores
from ssl_bench.report.table import Column, Row, Table, column_title

NOTE = (
    "The same networks on shifted test cases, nothing trained again: the score, and in brackets its change from their "
    "score on the same cases without the shift, paired over cases, with a 95 % interval that no correction widens. Of "
    "pairs of test cases the second is shifted alone, and what retrieval searches stays as it is; intervals know that "
    "pairs share subjects. Trained on: the pretext of the row shows the backbone this kind of shift, at whatever "
    "strength (? where nothing says so). Labels and true partners turn with the anatomy; what the field of view leaves "
    "out is background, and no partner."
)
Lines = tuple[list[str], list[list[str]]]
"""A header and its rows, as plain text."""


def robustness_section(table: Table) -> str:
    """The shifts of every column as Markdown; empty where no cell was scored under any."""
    parts = [
        f"**{escaped(column_title(column, table))}**\n\n{markdown_table(*lines)}"
        for column, lines in robustness_tables(table)
    ]
    return "\n".join(["### Robustness\n", f"{NOTE}\n", *parts]) if parts else ""


def robustness_tables(table: Table) -> Iterator[tuple[Column, Lines]]:
    """For every column with a cell that was scored under shifts: a line for each shift and row."""
    states = table.frames.shifted.states
    for column in table.columns:
        here = table.lines(column)
        scored = states[states["cell"].isin(here.index)].join(here[["_row", "seed", "fold", "_trained_on"]], on="cell")
        if not len(scored):
            continue
        metric = table.metric(column)
        rows = {table.rows[place]: _row_lines(table, own, metric) for place, own in scored.groupby("_row")}
        names = [name for name in _in_order(scored["shift"]) if any(name in lines for lines in rows.values())]
        header = ["Shift", "Method", "Trained on", "Unshifted", *(f"Grade {grade} (change)" for grade in GRADES)]
        yield column, (header, [_line(name, row, found) for name in names for row, found in rows.items()])


def _in_order(found: pd.Series) -> list[str]:
    """The versioned names among `found` as `SHIFTS` orders them, others of other versions behind."""
    known = {facts.versioned: place for place, facts in enumerate(SHIFTS.values())}
    return sorted(set(found) - {""}, key=lambda name: (known.get(name, len(known)), name))


def _line(name: str, row: Row, found: dict[str, list[str]]) -> list[str]:
    return [shift_title(name), row.label, *found.get(name, ["–"] * (2 + len(GRADES)))]


def shift_title(versioned: str) -> str:
    """The shift in words, with the strengths of its grades; its name alone where this installation has another."""
    for facts in SHIFTS.values():
        if facts.versioned == versioned:
            return f"{facts.title}: {', '.join(f'{one:g}' for one in facts.strengths[1:])} {facts.unit}"
    return versioned


def _row_lines(table: Table, states: pd.DataFrame, metric: Metric) -> dict[str, list[str]]:
    """What stands behind the shift and the method in the lines of one row, by the shift's versioned name."""
    places = {one: place for place, one in enumerate(dict.fromkeys(zip(states["shift"], states["grade"], strict=True)))}
    of_state = np.array([places[one] for one in zip(states["shift"], states["grade"], strict=True)])
    scores = read_scores(
        table.frames.shifted.cases,
        states.index.to_numpy(),
        of_state,
        states["seed"].to_numpy(),
        metric.name,
        states["fold"].to_numpy(),
    )
    if scores is None:
        return {}
    summaries = summarise(scores)
    changes = subtract(scores, places["", 0], np.random.default_rng(0))
    base = summaries.get(places["", 0])
    known = states["_trained_on"].iloc[0]
    found = {}
    for name in {shift for shift, _ in places if shift}:
        trained = "?" if known is None else "yes" if name.rpartition("-v")[0] in known else "no"
        at_grades = [places.get((name, grade), -1) for grade in GRADES]
        texts = [_text(summaries.get(place), changes.get(place), metric) for place in at_grades]
        found[name] = [trained, _score(base, metric), *texts]
    return found


def _score(summary: Summary | None, metric: Metric) -> str:
    return "–" if summary is None or np.isnan(summary.estimate.value) else metric.text(float(summary.estimate.value))


def _text(summary: Summary | None, change: Difference | None, metric: Metric) -> str:
    """The score, and its change with the interval."""
    if change is None:
        return _score(summary, metric)
    return f"{_score(summary, metric)} ({interval_text(change.estimate, metric, '+')})"
