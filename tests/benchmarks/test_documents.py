"""The documents are those of the kept figures, and say how each part is measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import documents
from benchmarks.__main__ import PARTS
from benchmarks.documents import EVERY_FIGURE, PERFORMANCE, SECTIONS, write_documents
from benchmarks.figures import FIGURES, read
from benchmarks.matrix import MATRICES


def test_both_are_made_of_the_kept_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / PERFORMANCE.name).write_bytes(PERFORMANCE.read_bytes())
    monkeypatch.setattr(documents, "EVERY_FIGURE", tmp_path / EVERY_FIGURE.name)
    monkeypatch.setattr(documents, "PERFORMANCE", tmp_path / PERFORMANCE.name)
    write_documents(read(FIGURES))
    for page in (EVERY_FIGURE, PERFORMANCE):
        assert (tmp_path / page.name).read_text("utf-8") == page.read_text("utf-8"), (
            "run python -m benchmarks.documents"
        )


def test_every_part_has_a_section() -> None:
    assert sorted(SECTIONS) == sorted({"matrix" if part in MATRICES else part for part in PARTS})
    text = EVERY_FIGURE.read_text("utf-8")
    assert re.findall("^## (.*)$", text, re.MULTILINE) == list(SECTIONS.values())


def test_every_table_that_the_text_shows_has_been_measured() -> None:
    shown = re.findall("^<!-- (?!end of )(.*) -->$", PERFORMANCE.read_text("utf-8"), re.MULTILINE)
    titles = {table["title"] for parts in read(FIGURES).values() for part in parts.values() for table in part["tables"]}
    assert shown
    assert set(shown) <= titles
