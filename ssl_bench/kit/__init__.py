"""The conformance kit: what every method and every task owes the harness, checked by running it.

The suite runs it over the built-in plugins; ``ssl-bench check`` and the tests of other packages run it over theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One promise, and a function that returns a sentence about how it is broken, or None."""

    promise: str
    find_problem: Callable[[Subject], str | None]

    def problem(self, subject: Subject) -> str | None:
        """The sentence, or None; an exception is a problem too."""
        try:
            return self.find_problem(subject)
        except Exception as error:
            lines = str(error).strip().splitlines()
            return f"raises {type(error).__name__}" + (f": {lines[0]}" if lines else "")
