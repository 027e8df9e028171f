"""A process that runs cells for a scheduler: ``python -m ssl_bench.executors.workers.worker``.

Keys come on stdin, one a line; events go out as JSON lines on a pipe of their own; what a cell prints goes to its log.
Importing torch takes as long as many a small cell, so that a worker runs cell after cell. Without a scheduler, that is
when stdin ends, it stops after the current step.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl_bench.errors import UserError
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.executors.cells.stopping import SIGNALS, Stop, stop_by_signal
from ssl_bench.planning.registration import register
from ssl_bench.store.store import Store
from ssl_bench.training.attempt import Stopped, TakenOver
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import resolve_runtime

REPORT_SECONDS = 0.2
"""Steps are reported no more often than this."""
IDLE_SECONDS = 0.2
"""How soon a worker without a cell notices that it is to stop."""


class Events(Progress):
    """Says on a pipe how the cell at hand goes on, and nothing on the screen."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(shown=False)
        self.pipe = os.fdopen(descriptor, "w", encoding="utf-8")
        self.key = ""

    def send(self, event: str, **fields: Any) -> None:
        """One event about the cell at hand. A pipe that its scheduler has closed is no error."""
        with contextlib.suppress(OSError):
            self.pipe.write(json.dumps({"event": event, "key": self.key, **fields}) + "\n")
            self.pipe.flush()

    @contextmanager
    def track(self, title: str, steps: int) -> Iterator[Callable[[str], None]]:
        """Report steps instead of drawing a bar."""
        done, reported = 0, -REPORT_SECONDS

        def advance(words: str) -> None:
            nonlocal done, reported
            done += 1
            if time.monotonic() - reported >= REPORT_SECONDS:
                reported = time.monotonic()
                self.send("step", step=done, steps=steps, words=words)

        yield advance


@dataclass(frozen=True)
class Worker:
    """Runs the cells of one store on one device."""

    store: Store
    arguments: argparse.Namespace
    events: Events
    stop: Stop

    def run(self, key: str) -> None:
        """Run the planned cell `key`, say how it ended, and print to its log meanwhile."""
        self.events.key = key
        print_to(self.store.log_path(key))
        try:
            cell = self.store.load_plan(key)
            register(cell)
            given = self.arguments
            runtime = resolve_runtime(given.device, given.threads, given.checkpointing)
            runtime = replace(runtime, checkpoint_seconds=given.checkpoint_seconds, log=given.log)
            self.events.send("started")
            record = run_cell(cell, self.store, runtime, self.events, given.anew, stop=self.stop)
        except UserError as error:
            self.events.send("refused", reason=str(error))
        except TakenOver as taken:
            self.events.send("taken", reason=str(taken))
        except (Stopped, KeyboardInterrupt):
            self.events.send("stopped")
            raise
        else:
            self.events.send("ended", record=record.model_dump(mode="json"))


def main() -> None:
    """Run what stdin names until it ends or a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--events", type=int, required=True, help="The descriptor of a pipe.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--checkpoint-seconds", type=float, required=True)
    parser.add_argument("--log", default="")
    parser.add_argument("--anew", action="store_true")
    arguments = parser.parse_args()
    # Why a cell failed goes to its log.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("ssl_bench").setLevel(logging.DEBUG)
    with stop_by_signal() as stop, contextlib.suppress(Stopped, KeyboardInterrupt):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        worker = Worker(Store(arguments.results), arguments, Events(arguments.events), stop)
        keys: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_listen, args=(keys, stop), daemon=True).start()
        while not stop.reason:
            with contextlib.suppress(queue.Empty):
                worker.run(keys.get(timeout=IDLE_SECONDS))
        worker.events.send("stopped")


def _listen(keys: queue.Queue[str], stop: Stop) -> None:
    for line in sys.stdin:
        keys.put(line.strip())
    stop.ask("the scheduler has ended")


def print_to(path: Path) -> None:
    """Send what this process prints, in whichever language, to the end of the file at `path`."""
    sys.stdout.flush()
    sys.stderr.flush()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    faulthandler.enable()


if __name__ == "__main__":
    main()
