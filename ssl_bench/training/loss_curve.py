"""The training loss of every step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from ssl_bench.nn.transfer import Arriving
from ssl_bench.training.run_log import SILENT, RunLog


class LossCurve:
    """Losses of the steps so far; a GPU's are read one step late, so that it need not wait to be asked for more.

    Every method raises FloatingPointError for a loss that is not finite, once it is read.
    """

    def __init__(self, what: str, losses: Sequence[float] = (), log: RunLog = SILENT, before: int = 0) -> None:
        """`what` names the loss in errors; `losses` are those of an earlier attempt, the others go to `log` too.

        `before` counts the steps in the log that came before the first of the curve.
        """
        self.what = what
        self.log = log
        self.before = before
        self._losses = list(losses)
        self._coming: dict[str, Arriving] = {}

    def add(self, loss: Tensor, parts: Mapping[str, Tensor] = MappingProxyType({})) -> None:
        """The `loss` of a step, and scalars that go to the log alone."""
        self._receive()
        self._coming = {name: Arriving(number) for name, number in {"loss": loss, **parts}.items()}
        if loss.device.type != "cuda":
            self._receive()

    def read(self) -> list[float]:
        """All losses; waits for the last."""
        self._receive()
        return self._losses

    def __str__(self) -> str:
        """The last loss that is known."""
        return f"loss {self._losses[-1]:.3f}" if self._losses else ""

    def _receive(self) -> None:
        if not self._coming:
            return
        numbers, self._coming = {name: number.read() for name, number in self._coming.items()}, {}
        step, loss = len(self._losses), numbers["loss"]
        self.log.add("training", numbers, self.before + step)
        if not math.isfinite(loss):
            raise FloatingPointError(f"{self.what} loss is {loss} at step {step}")
        self._losses.append(loss)
