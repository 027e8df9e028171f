"""What parts measure as tables: in Markdown, beside earlier ones, and inside docs/performance.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from ssl_bench.files import atomic_write

Row = dict[str, Any]
"""Columns to numbers, text, or a `timing.Spread`; the first column names the row."""


class Table(TypedDict):
    """One table of a part."""

    title: str
    rows: list[Row]


class Part(TypedDict):
    """What is kept of one part."""

    quick: bool
    identity: str
    """Digest of the code that was measured, and how."""
    conditions: dict[str, Any]
    tables: list[Table]


def markdown(part: Part, before: Part | None = None) -> str:
    """The tables of a part and the conditions of its measurement; with `before`, "before → now" in every figure."""
    old = {table["title"]: table for table in before["tables"]} if before else {}
    blocks = [
        f"**{table['title']}**\n\n{_table(table['rows'], old.get(table['title'], {'title': '', 'rows': []})['rows'])}"
        for table in part["tables"]
    ]
    lines = [_conditions(part)] if before is None else [f"Before: {_conditions(before)}", f"Now: {_conditions(part)}"]
    return "\n\n".join([*blocks, *lines])


def write_into(document: Path, parts: Mapping[str, Part], before: Mapping[str, Part]) -> None:
    """Replace what stands between the markers of each of `parts` in `document`; --quick parts stay out."""
    text = document.read_text("utf-8")
    for name, part in parts.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if not part["quick"] and start in text and end in text:
            inside = f"{start}\n\n{markdown(part, before.get(name))}\n\n{end}"
            text = re.sub(f"{re.escape(start)}.*?{re.escape(end)}", lambda _: inside, text, flags=re.DOTALL)  # noqa: B023
    with atomic_write(document) as temporary:
        temporary.write_text(text, "utf-8")


def _table(rows: Sequence[Row], before: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    old = {str(next(iter(row.values()))): row for row in before}
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join(["---"] * len(columns)) + " |"]
    for row in rows:
        earlier = old.get(str(next(iter(row.values()))), {})
        lines.append("| " + " | ".join(_cell(row.get(column, ""), earlier.get(column)) for column in columns) + " |")
    return "\n".join(lines)


def _cell(value: Any, before: Any) -> str:
    text = _text(value)
    return text if before is None or _text(before) == text else f"{_text(before)} → {text}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return f"{_number(value['median'])} ({_number(value['low'])} to {_number(value['high'])})"
    if isinstance(value, float):
        return _number(value)
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _conditions(part: Part) -> str:
    said = part["conditions"]
    load = " and ".join(f"{said[f'load_{when}']:.1f} {when}" for when in ("before", "after"))
    return (
        f"{said['processor']}, {said['cores']} cores, {said['threads']} threads, device {said['device']}, "
        f"torch {said['torch']}, commit {said['commit']}, {said['created'][:10]}; load average {load}; "
        f"{said['seconds']:.0f} s{'; --quick, not a measurement' if part['quick'] else ''}."
    )
