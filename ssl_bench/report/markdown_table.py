"""A Markdown table whose cells text from records cannot leave."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; text from records cannot break out of its cell."""
    lines = [[escaped(text) for text in row] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def escaped(text: str) -> str:
    """Text that stays text in a line of Markdown."""
    shown = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
    return shown.replace("](", "]\\(")


def code(text: str) -> str:
    """Text as it is, in the type of code."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"
