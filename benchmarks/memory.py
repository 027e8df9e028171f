"""Peak memory and seconds of one pre-training step, each method in a fresh process (`paper_step.py`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.stepping import learning_methods, native_precision
from benchmarks.tables import Row, Table
from benchmarks.timing import Options

SCRIPT = Path(__file__).with_name("paper_step.py")
PRESETS = ("quick", "small", "paper")


def measure(part: str, options: Options) -> list[Table]:
    presets = ("smoke",) if options.quick else PRESETS
    methods = ["gvsl"] if options.quick else learning_methods()
    return [
        {
            "title": f"One step in the preset {preset}",
            "rows": [_row(method, preset, native_precision(options)) for method in methods],
        }
        for preset in presets
    ]


def _row(method: str, preset: str, precision: str) -> Row:
    kept, again = (_step(method, preset, precision, checkpointing) for checkpointing in (False, True))
    return {
        "method": method,
        "volumes": f"{kept['volumes']} x {kept['window']}",
        "peak GiB": kept["peak"],
        "peak GiB, checkpointing": again["peak"],
        "checkpointing / without": again["peak"] / kept["peak"],
        "seconds": kept["seconds"],
        "seconds, checkpointing / without": again["seconds"] / kept["seconds"] if kept["seconds"] else "",
    }


def _step(method: str, preset: str, precision: str, checkpointing: bool) -> dict[str, float]:
    call = [sys.executable, str(SCRIPT), method, "--one", "--preset", preset, "--precision", precision]
    call += ["--checkpointing"] if checkpointing else []
    row = subprocess.run(call, capture_output=True, encoding="utf-8", check=True).stdout
    _, volumes, window, _, _, seconds, peak = (cell.strip() for cell in row.strip().strip("|").split("|"))
    return {"volumes": volumes, "window": window, "seconds": float(seconds), "peak": float(peak)}  # type: ignore[dict-item]
