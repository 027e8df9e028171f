"""Doubts about many cases, said once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ssl_bench.api.cases import Doubt


def doubt_lines(name: str, doubts: Mapping[str, Sequence[Doubt]]) -> list[str]:
    """A line for each kind of doubt: how many cases it befalls, the figures of one, and what mends it.

    `doubts` are those of every case by its identifier, `name` is the task's, or ``corpus``, for options to name.
    """
    befallen: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for identifier, found in doubts.items():
        for doubt in found:
            befallen[doubt.what, doubt.way_out].append((identifier, doubt.figures))
    lines = []
    for (what, way_out), cases in befallen.items():
        identifier, figures = cases[0]
        lines.append(f"{len(cases)} of {len(doubts)} cases: {what} ({identifier}: {figures}); {way_out}")
    return [named(line, name) for line in lines]


def named(text: str, name: str) -> str:
    """`text` whose options are those of the task `name`, or of the corpus: preparing knows no names."""
    return text.replace("data.TASK.", f"data.{name}.")
