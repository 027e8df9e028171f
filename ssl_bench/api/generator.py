"""The contract of a generator: a synthetic source of labelled cases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from ssl_bench.api.cases import Case


class Generator(ABC):
    """Grows the cases of a task's embedded cohort."""

    spacing_mm: ClassVar[tuple[float, float, float]]
    """(D, H, W) at detail 1."""
    field_of_view_mm: ClassVar[tuple[float, float, float]]
    """(D, H, W)."""
    knows_points: ClassVar[bool] = False
    """Whether `points` says what each voxel shows, so that it is known where every place of a case lies in another."""

    @abstractmethod
    def __init__(self, own: tuple[Path, Path] | None = None) -> None:
        """`own` are image and labels of the user's own anatomy, instead of what the generator brings along.

        Raises UserError, here or when it grows, if nothing can be grown from them.
        """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """The identity of the data that cases grow from; part of the key of a cell."""

    @abstractmethod
    def grow(self, split: str, count: int, detail: float, seed: int) -> list[Case]:
        """`count` cases of `split`, of voxel spacing `spacing_mm / detail`.

        The same arguments give the same bits on the CPU; splits share no subject, and case i does not depend on
        `count`.
        """

    def points(self, split: str, count: int, detail: float, seed: int) -> list[Tensor]:
        """(D, H, W, 3) of each case that `grow` gives: anatomy coordinates (z, y, x), in mm, of its voxel centres.

        All splits share one anatomy, and every map has a positive Jacobian. Raises NotImplementedError where nobody
        knows, see `knows_points`.
        """
        raise NotImplementedError
