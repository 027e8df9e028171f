"""The benchmarks that are commands of their own: planning, preparing and reporting at scale."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.tables import Row, Table
from benchmarks.timing import Options

FOLDER = Path(__file__).parent


def measure(part: str, options: Options) -> list[Table]:
    """`prepare` prints its few lines; the others write JSON, each in its way."""
    if part == "prepare":
        return [{"title": "Preparing scans", "rows": _prepare(options)}]
    found = _run_for_json(part, options)
    if part == "planning":
        rows: list[Row] = [{"what": name, **figures} for name, figures in found["figures"].items()]
        return [{"title": f"Planning {found['evaluations']} cells, whole processes", "rows": rows}]
    if part == "scheduling":
        rows = [{"what": name, **figures} for name, figures in found.items()]
        return [{"title": "Scheduling: six cells on one slot, and a matrix by its workers", "rows": rows}]
    return [{"title": f"Reports of {found['records']} records, on one core", "rows": found["formats"]}]


def _prepare(options: Options) -> list[Row]:
    cases = "1" if options.quick else "8"
    lines = _run("prepare", cases).splitlines()
    return [{"printed": line} for line in lines]


def _run_for_json(script: str, options: Options) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        _run(script, "--json", str(file), *(["--quick"] if options.quick else []))
        return json.loads(file.read_text("utf-8"))


def _run(script: str, *arguments: str) -> str:
    call = [sys.executable, str(FOLDER / f"{script}.py"), *arguments]
    return subprocess.run(call, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
