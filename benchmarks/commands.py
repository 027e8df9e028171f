"""What the command line costs before any work: whole processes, beside a bare Python's.

Interpreter and imports are included. Completion is that of bash.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.tables import Row, Table
from benchmarks.timing import Options, at_most, interleaved, ratio, spread

REFERENCE = Path(__file__).parents[1] / "results" / "reference" / "quick"
COMMAND = "import sys; sys.argv[0] = 'ssl-bench'; from ssl_bench.cli import main; main()"
SECONDS = {
    "ssl-bench --help": 0.4,
    "completion of a method's name": 0.4,
    "ssl-bench methods": 3.0,
    "ssl-bench report": 3.0,
}
"""That each may take."""
COMPLETION = {"_SSL_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": "ssl-bench run --method g", "COMP_CWORD": "3"}


def measure(options: Options) -> list[Table]:
    with tempfile.TemporaryDirectory() as folder:
        report = ["report", "--results", str(REFERENCE), "--out", f"{folder}/report"]
        sides = {
            "python -c pass": process("pass"),
            "ssl-bench --help": process(COMMAND, "--help"),
            "completion of a method's name": process(COMMAND, environment=COMPLETION),
            "ssl-bench methods": process(COMMAND, "methods"),
            "ssl-bench report": process(COMMAND, *report),
            "ssl-bench report --format html": process(COMMAND, *report, "--format", "html"),
        }
        times = interleaved(sides, options)
    rows: list[Row] = []
    for name, taken in times.items():
        target = at_most(SECONDS[name], spread(taken)) if name in SECONDS else {}
        beside = ratio(taken, times["python -c pass"])
        rows.append({"command": name, "seconds": spread(taken), "/ bare Python": beside, **target})
    return [{"title": "Commands, the report on the reference run's records", "rows": rows}]


def process(code: str, *arguments: str, environment: dict[str, str] | None = None) -> Callable[[], None]:
    """What runs a Python of its own on `code`, to its end."""

    def run() -> None:
        subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=os.environ | (environment or {}),
            stdout=subprocess.DEVNULL,
            check=True,
        )

    return run
