"""The page of a thousand cells in a real browser: how large it is, and how soon it can be used.

In Chromium (`.[browser]`; its size alone where there is none): the time until it can be used, and the time from a
click until it is laid out again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.commands import COMMAND
from benchmarks.report import write_store
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, at_most, spread

ROUNDS = 7
ACTIONS = {
    "sort by a column": ".leaderboard th button",
    "hide a task": "input[value=shc]",
    "open a cell": "button.cell",
}
"""What is clicked, by a selector."""
READY = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
CLICK = """(selector) => { const start = performance.now(); document.querySelector(selector).click();
    document.body.offsetHeight; return performance.now() - start; }"""


def measure(options: Options) -> list[Table]:
    cells = 48 if options.quick else 1000
    with tempfile.TemporaryDirectory() as scratch:
        store, page = Path(scratch) / "store", Path(scratch) / "page.html"
        # One record in nine is a pre-training.
        write_store(store, cells * 9 // 8)
        call = [
            sys.executable,
            "-c",
            COMMAND,
            "report",
            "--results",
            str(store),
            "--format",
            "html",
            "--out",
            str(page),
        ]
        subprocess.run(call, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, check=True)
        megabytes = page.stat().st_size / 1e6
        rows: list[Row] = [{"what": "size (MB)", "figure": megabytes, **at_most(5, spread([megabytes]))}]
        rows += [
            {"what": f"ms, {what}", "figure": spread(found), **at_most(1000, spread(found))}
            for what, found in _times(page).items()
        ]
    return [{"title": f"A page of {cells:,} cells", "rows": rows}]


def _times(page: Path) -> dict[str, list[float]]:
    """Milliseconds until the page can be used, and for each action; nothing where there is no browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    program = shutil.which("chromium")
    if program is None:
        return {}
    found: dict[str, list[float]] = {what: [] for what in ("until it can be used", *ACTIONS)}
    with sync_playwright() as playwright:
        browser: Any = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(ROUNDS):
            visit = browser.new_page()
            visit.goto(page.as_uri())
            found["until it can be used"].append(visit.evaluate(READY))
            for what, selector in ACTIONS.items():
                found[what].append(visit.evaluate(CLICK, selector))
            visit.close()
        browser.close()
    return found
