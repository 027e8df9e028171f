"""What parts measure as tables: in Markdown, beside earlier ones, and inside a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ssl_bench.files import atomic_write

if TYPE_CHECKING:
    from benchmarks.figures import Part

Row = dict[str, Any]
"""Columns to numbers, text, or a `timing.Spread`; the first column names the row."""


class Table(TypedDict):
    """One table of a part."""

    title: str
    rows: list[Row]


def markdown(part: Part, before: Part | None = None) -> str:
    """The conditions of a part's measurement and its tables; with `before`, "before → now" in every figure."""
    old = {each["title"]: each["rows"] for each in before["tables"]} if before else {}
    blocks = [f"**{each['title']}**\n\n{table(each['rows'], old.get(each['title'], []))}" for each in part["tables"]]
    lines = [_conditions(part)] if before is None else [f"Before: {_conditions(before)}", f"Now: {_conditions(part)}"]
    return "\n\n".join([*lines, *blocks])


def write_into(document: Path, texts: Mapping[str, str]) -> None:
    """Replace what stands in `document` between the markers of each of `texts`."""
    text = document.read_text("utf-8")
    for name, inside in texts.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        head, _, rest = text.partition(start)
        if start in text and end in text:
            text = f"{head}{start}\n\n{inside}\n\n{end}{rest.partition(end)[2]}"
    with atomic_write(document) as temporary:
        temporary.write_text(text, "utf-8")


def table(rows: Sequence[Row], before: Sequence[Row] = ()) -> str:
    """`rows` in Markdown; "before → now" where a row of the same name had another figure."""
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
    runtime = f", {said['threads']} threads, device {said['device']}" if "threads" in said else ""
    load = " and ".join(f"{said[f'load_{when}']:.1f} {when}" for when in ("before", "after"))
    return (
        f"{said['processor']}, {said['cores']} cores{runtime}, torch {said['versions']['torch']}, "
        f"commit {said['commit']}, {said['created'][:10]}; load average {load}; "
        f"{said['seconds']:.0f} s{'; --quick, not a measurement' if part['quick'] else ''}."
    )
