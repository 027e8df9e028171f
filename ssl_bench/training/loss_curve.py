"""The training loss of every step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from ssl_bench.nn.transfer import Arriving


class LossCurve:
    """Losses of the steps so far; a GPU's are looked at one step late, so that it need not wait to be asked for more.

    Every method raises FloatingPointError for a loss that is not finite, once it is looked at.
    """

    def __init__(self, what: str, losses: Sequence[float] = ()) -> None:
        """`what` names the loss in errors; `losses` are those of an earlier attempt."""
        self.what = what
        self._losses = list(losses)
        self._coming: Arriving | None = None

    def add(self, loss: Tensor) -> None:
        """Append the `loss` of a step."""
        self._look()
        self._coming = Arriving(loss)
        if loss.device.type != "cuda":
            self._look()

    def read(self) -> list[float]:
        """All losses; waits for the last."""
        self._look()
        return self._losses

    def __str__(self) -> str:
        """The last loss that is known."""
        return f"loss {self._losses[-1]:.3f}" if self._losses else ""

    def _look(self) -> None:
        if self._coming is None:
            return
        loss, self._coming = self._coming.read(), None
        if not math.isfinite(loss):
            raise FloatingPointError(f"{self.what} loss is {loss} at step {len(self._losses)}")
        self._losses.append(loss)
