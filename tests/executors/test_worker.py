"""What a worker says to its scheduler, and how its process ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ssl_bench.executors.workers import worker
from ssl_bench.executors.workers.slots import WorkerProcess, cpu_slots
from ssl_bench.executors.workers.worker import Events
from ssl_bench.training.runtime import Runtime


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


LISTENS = """
import os, sys
events = int(sys.argv[sys.argv.index("--events") + 1])
for line in sys.stdin:
    os.write(events, b'{"event": "started", "key": "%b"}\\n{"event": "st' % line.strip().encode())
    os.write(events, b'ep"}\\n')
sys.exit(7)
"""


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerProcess:
    """Says what it was told, and ends with status 7 when it is told nothing more."""
    found = WorkerProcess(cpu_slots(1, 1)[0], tmp_path, Runtime(), anew=False)
    monkeypatch.setattr(found, "_arguments", [sys.executable, "-c", LISTENS])
    return found


def heard(process: WorkerProcess, count: int) -> list[dict[str, Any]]:
    events, deadline = process.read(), time.monotonic() + 30
    while len(events) < count and time.monotonic() < deadline:
        time.sleep(0.01)
        events += process.read()
    return events


def test_a_worker_is_heard_and_ends_when_it_is_retired(process: WorkerProcess) -> None:
    before = time.monotonic()
    process.start("0123456789abcdef")
    assert heard(process, 2) == [{"event": "started", "key": "0123456789abcdef"}, {"event": "step"}]
    assert 0 < process.seconds() <= time.monotonic() - before
    assert not process.has_died()
    child = process._process
    assert child is not None
    process.retire()
    assert child.wait(30) == 7
    assert process.has_died()
    process.end()
    assert not process.has_died(), "nothing is left of it"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(process.events)


def test_a_worker_that_is_killed_is_gone_at_once_and_another_takes_its_place(process: WorkerProcess) -> None:
    process.start("0123456789abcdef")
    first = process._process
    assert first is not None
    process.kill()
    assert first.returncode == -signal.SIGKILL
    process.start("fedcba9876543210")
    assert heard(process, 2)[0]["key"] == "fedcba9876543210"
    second = process._process
    assert second is not None
    assert second.pid != first.pid
    process.end()
    assert second.returncode == 7, "a worker without a cell is waited for"
