"""Every part of the benchmarks runs; what --quick finds is no measurement and enters no document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import COMMANDS, PARTS
from benchmarks.documents import EVERY_FIGURE, PERFORMANCE
from benchmarks.figures import FIGURES, ROOT


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_quick_part_gives_tables_and_leaves_the_document_alone(part: str, tmp_path: Path) -> None:
    if part == "peers":
        pytest.importorskip("nnunetv2", reason="wants the extra peers")
        pytest.importorskip("torchio", reason="wants the extra peers")
    kept = [path.read_bytes() if path.exists() else None for path in (EVERY_FIGURE, PERFORMANCE, FIGURES)]
    file = tmp_path / "figures.json"
    call = [sys.executable, "-m", "benchmarks", "--quick", "--only", part, "--json", str(file)]
    call += [] if part in COMMANDS else ["--threads", "1"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    (machine,) = json.loads(file.read_text("utf-8")).values()
    (found,) = machine.values()
    assert found["quick"]
    assert all(table["rows"] for table in found["tables"])
    assert all(table["title"] in done.stdout for table in found["tables"])
    assert kept == [path.read_bytes() if path.exists() else None for path in (EVERY_FIGURE, PERFORMANCE, FIGURES)]
