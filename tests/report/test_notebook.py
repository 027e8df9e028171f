"""The notebook that goes on from the results in pandas and seaborn."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "results.ipynb"


def test_its_code_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    book = json.loads(NOTEBOOK.read_text("utf-8"))
    names: dict[str, object] = {}
    monkeypatch.chdir(NOTEBOOK.parent)
    with matplotlib.rc_context({"backend": "agg"}):
        for cell in book["cells"]:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
    assert {"results", "difference", "classes", "chosen"} <= names.keys()
    assert NOTEBOOK.stat().st_size < 100_000, "its outputs are small"
