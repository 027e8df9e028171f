"""The documents made of the kept figures: ``python -m benchmarks.documents`` writes them without measuring.

docs/figures.md has every table, with the description that stands in the module that measures it; docs/performance.md
has the few tables that its text refers to, between markers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.figures import FIGURES, ROOT, Figures, Part, read
from benchmarks.matrix import MATRICES, agreement, speeds
from benchmarks.tables import markdown, table, write_into
from ssl_bench.files import atomic_write

EVERY_FIGURE = ROOT / "docs" / "figures.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
SECTIONS = {
    "step": "Training step",
    "resources": "Resources of a pre-training",
    "backbones": "Backbones",
    "losses": "Losses",
    "transforms": "Transforms",
    "data": "Data",
    "protocols": "Protocols",
    "inference": "Inference",
    "memory": "Memory",
    "growth": "Growth",
    "cost": "What the paper's table costs",
    "commands": "Commands",
    "planning": "Planning",
    "report": "Report",
    "page": "Page",
    "prepare": "Preparation",
    "scheduling": "Scheduling",
    "peers": "Beside peers",
    "matrix": "Whole matrices",
}
"""Titles by the module that measures."""
COMPARISONS = {"Speed": speeds, "Agreement of scores": agreement}
"""Of several matrices."""
HEADER = """# Every figure

This page is written by `python -m benchmarks`; do not edit it. [Performance](performance.md) says how figures are
measured and answers the common questions. Above the tables of a part stand the machine, the libraries, the commit, the
date, the load average before and after, and the seconds that the part took. Compare no figures of two machines or two
commits.
"""


def write_documents(figures: Figures) -> None:
    """Write docs/figures.md, and the tables within docs/performance.md."""
    measured = {
        machine: {name: part for name, part in parts.items() if not part["quick"]} for machine, parts in figures.items()
    }
    with atomic_write(EVERY_FIGURE) as temporary:
        temporary.write_text("\n\n".join([HEADER.rstrip(), *_sections(measured)]) + "\n", "utf-8")
    write_into(PERFORMANCE, _by_title(measured))


def _sections(figures: Figures) -> Iterator[str]:
    for module, title in SECTIONS.items():
        yield f"## {title}"
        yield ast.get_docstring(ast.parse((Path(__file__).parent / f"{module}.py").read_text("utf-8"))) or ""
        if module == "matrix":
            yield from _comparisons(figures)
        for name in MATRICES if module == "matrix" else (module,):
            found = [markdown(parts[name]) for parts in figures.values() if name in parts]
            yield from found or ["Not measured yet."]


def _comparisons(figures: Figures) -> Iterator[str]:
    for title, compare in COMPARISONS.items():
        found = [(machine, rows) for machine, parts in figures.items() if (rows := compare(parts))]
        yield f"**{title}**"
        yield from (f"{machine}.\n\n{table(rows)}" for machine, rows in found)
        if not found:
            yield "No machine has measured all of these runs at one commit."


def _by_title(figures: Mapping[str, Mapping[str, Part]]) -> dict[str, str]:
    """The tables of one title, machine after machine."""
    found: dict[str, list[str]] = {}
    for machine, parts in figures.items():
        for part in parts.values():
            for each in part["tables"]:
                text = f"*{machine}, commit {part['conditions']['commit']}:*\n\n{table(each['rows'])}"
                found.setdefault(each["title"], []).append(text)
    return {title: "\n\n".join(texts) for title, texts in found.items()}


if __name__ == "__main__":
    write_documents(read(FIGURES))
