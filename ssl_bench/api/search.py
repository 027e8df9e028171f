"""The values among which ``ssl-bench tune`` looks for an option: said in the type of the option itself.

An option is searched if its type has a range, as in ``sigma: Annotated[float, LogUniform(0.02, 0.5)]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True)
class LogUniform:
    """Numbers between two positive ones, every ratio as likely as another, rounded to two digits."""

    low: float
    high: float

    def at(self, quantile: float) -> float:
        """The value below which a share `quantile`, in [0, 1), of all lies."""
        return float(f"{self.low * (self.high / self.low) ** quantile:.1e}")

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}, logarithmic"


@dataclass(frozen=True)
class Choice:
    """One of some values, each as likely as another."""

    values: tuple[Any, ...]

    def at(self, quantile: float) -> Any:
        """The value at a `quantile` in [0, 1) of their order."""
        return self.values[int(quantile * len(self.values))]

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Range = LogUniform | Choice


def searched(config: type[BaseModel]) -> dict[str, Range]:
    """The options of `config` whose type has a range, in their order."""
    return {name: found for name in config.model_fields if (found := _range(config.model_fields[name].metadata))}


def _range(metadata: Sequence[Any]) -> Range | None:
    return next((one for one in metadata if isinstance(one, LogUniform | Choice)), None)
