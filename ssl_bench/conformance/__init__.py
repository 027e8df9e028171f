"""The conformance kit: what every plugin owes the harness, checked by running it.

The suite runs it over the built-in plugins; ``ssl-bench check`` and the tests of other packages run it over theirs.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Subject = TypeVar("Subject")


class BrokenPromiseError(Exception):
    """The promise is broken in the way that the message says."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One promise, and a function that returns a sentence about how it is broken, or None."""

    promise: str
    find_problem: Callable[[Subject], str | None]
    essential: bool = False
    """Whether the checks after it mean nothing where its promise is broken."""

    def problem(self, subject: Subject) -> str | None:
        """The sentence, or None; an exception is a problem too, told with the line of the plugin that it came from."""
        try:
            return self.find_problem(subject)
        except BrokenPromiseError as broken:
            return str(broken)
        except Exception as error:
            lines = str(error).strip().splitlines()
            said = f"raises {type(error).__name__}" + (f": {lines[0]}" if lines else "")
            return said + _place(error, getattr(subject, "plugin", None))


def checks_of(
    *promises: Callable[[Subject], str | None], essential: Callable[[Subject], str | None] | None = None
) -> tuple[Check[Subject], ...]:
    """One check for each of `promises`, in the order in which they are run and printed; a docstring is the promise."""
    return tuple(Check((one.__doc__ or "").rstrip("."), one, one is essential) for one in promises)


def _place(error: Exception, plugin: type | None) -> str:
    """Where in the plugin's file `error` came from, as `` (FILE:LINE)``; empty where it came from elsewhere."""
    file = plugin and inspect.getfile(plugin)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({file}:{lines[-1]})" if lines else ""
