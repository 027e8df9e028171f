"""What a worker says to its scheduler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ssl_bench.executors.workers import worker
from ssl_bench.executors.workers.worker import Events


def said(descriptor: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in os.read(descriptor, 2**16).splitlines()]


def test_events_are_lines_of_json_about_the_cell_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.0, 10.1, 10.25, 10.25])
    monkeypatch.setattr(worker.time, "monotonic", lambda: next(clock))
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    events = Events(writing)
    events.key = "0123456789abcdef"
    events.send("started")
    with events.track("a cell", 3) as advance:
        for words in ("first", "too soon", "third"):
            advance(words)
    common = {"key": "0123456789abcdef", "event": "step", "steps": 3}
    assert said(reading) == [
        {"key": "0123456789abcdef", "event": "started"},
        common | {"step": 1, "words": "first"},
        common | {"step": 3, "words": "third"},
    ]
    os.close(reading)
    events.send("a scheduler that has gone hears nothing")


def test_what_a_cell_prints_in_whichever_language_ends_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "cell.log"
    program = f"""
import os, subprocess, sys
from pathlib import Path
from ssl_bench.executors.workers.worker import print_to
print("before", flush=True)
print_to(Path({str(log)!r}))
print("from Python", flush=True)
os.write(2, b"from C\\n")
subprocess.run(["echo", "from a child"])
"""
    log.parent.mkdir()
    log.write_text("of an earlier attempt\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("before\n", "")
    assert log.read_text() == "of an earlier attempt\nfrom Python\nfrom C\nfrom a child\n"
