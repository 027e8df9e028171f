"""Being asked to stop: work goes on to the end of the step, saves its state, and ends in order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Ctrl-C, and what batch systems send before time is up."""


class Stop:
    """A request to stop, and its reason."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.interruptions = 0

    def ask(self, reason: str) -> None:
        """Stop after the current step; the first reason counts."""
        self.reason = self.reason or reason

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal. Raises KeyboardInterrupt at the second Ctrl-C."""
        self.interruptions += number == signal.SIGINT
        if self.interruptions > 1:
            raise KeyboardInterrupt
        self.ask(f"received {signal.Signals(number).name}")
        # A handler may interrupt a print, so that it must not print itself.
        os.write(2, b"\nssl-bench: stopping after the current step; Ctrl-C again stops now\n")


@contextmanager
def stop_by_signal() -> Iterator[Stop]:
    """A request that signals make while the context lasts. Only the main thread receives signals."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.receive) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
