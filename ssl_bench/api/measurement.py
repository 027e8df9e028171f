"""The contract of a protocol that trains nothing: what a frozen backbone's features are worth as they are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn
from typing import Protocol as Interface

from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.controls import Control
from ssl_bench.api.kinds import Kind
from ssl_bench.api.metric import MetricName
from ssl_bench.api.protocol import Protocol
from ssl_bench.api.settings import Settings
from ssl_bench.api.task import TaskFacts

Rows = list[dict[str, Any]]
"""What a record holds of every test case, or pair of test cases."""


class Descriptor(Interface):
    """Describes places of a volume, and volumes, by vectors; what is alike has a large cosine."""

    standardise: bool
    """Whether each channel is to be standardised over the training volumes first."""

    def local(self, volume: Tensor) -> Tensor:
        """(1, C, D, H, W) -> (1, channels, D, H, W), float32."""

    def stages(self, volume: Tensor) -> list[Tensor]:
        """(1, C, D, H, W) -> coarser and coarser ones, (1, channels, d, h, w), float32, finest first.

        Each covers the same extent: the volume, in the middle of what the finest covers more.
        """

    def pooled(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, channels), float32."""


class KnownPartners(Interface):
    """Where every place of one case lies in another, for cases that are grown from one anatomy."""

    def partners(self, source: str, target: str, voxels: Tensor) -> Tensor:
        """(N, 3): where `voxels` (N, 3) of the case called `source` lie in `target`, in voxels; NaN for outside it."""


class OwnMap(Interface):
    """How the method that made a backbone lays one volume onto another by itself, with the heads it pre-trained."""

    def __call__(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Two volumes (1, C, D, H, W) of one size -> (3, D, H, W), float32: in voxels, where each of `fixed` lies."""


class Describe(Interface):
    """Scores a prediction as the protocols that train do."""

    def __call__(self, case: Case, prediction: Tensor, ranked: bool = True) -> dict[str, Any]:
        """From a case and a prediction of its label (see `Case`), or what is said of the whole volume, to its row.

        Where it is not `ranked`, it stands beside another: neither surfaces are measured nor pictures kept.
        """


class Show:
    """Takes what pictures of pairs of cases are made of, and this one makes none of it; no score depends on it.

    All places are in voxels.
    """

    def points(self, source: Case, target: Case, points: Tensor, partners: Tensor, found: Tensor) -> None:
        """`points` (N, 3) of `source`, their true `partners` (N, 3) in `target` and where they were `found` there."""

    def laid(self, fixed: Case, moving: Case, field: Tensor, labels: Tensor, truth: KnownPartners | None) -> None:
        """`moving` was laid onto `fixed` by `field` (3, D, H, W), and its labels became `labels` (D, H, W)."""


@dataclass(frozen=True)
class Measured:
    """What a measurement is made of."""

    facts: TaskFacts
    train: Sequence[Case]
    test: Sequence[Case]
    """Those that give the score; of a trial, the validation cases."""
    crop: int
    """The side of windows, in voxels."""
    control: Control
    """Empty where features of the backbone are measured."""
    truth: Callable[[], KnownPartners | None]
    """Of all cases; None where nobody knows: of real cases."""
    describe: Describe
    advance: Callable[[str], None]
    """To be called after each of `Measurement.looks`, with a few words."""
    show: Show = field(default_factory=Show)
    """To be told of every pair."""
    own_map: Callable[[], OwnMap | None] = lambda: None
    """The method's own; None for one that matches nothing, and where its heads were not kept."""
    references: Sequence[Case] = ()
    """The test cases with which those of `test` are compared: the first of each pair, or what is searched. The same
    unless they are given; where `test` is under a shift, as they were without."""

    def __post_init__(self) -> None:
        """`references` are `test` unless they are given."""
        if not self.references:
            object.__setattr__(self, "references", self.test)


class Measurement(Protocol):
    """A protocol without a gradient: deterministic, the same for every row, seeds of the backbone apart."""

    Settings: ClassVar[type[Settings]] = Settings  # type: ignore[assignment]
    settings: Any
    """Of the class `Settings`."""
    metrics: ClassVar[dict[Kind, MetricName]]
    """By which it ranks tasks of each kind that it measures."""
    controls: ClassVar[tuple[Control, ...]]
    """The rows that belong beside those of backbones."""
    needs_truth: ClassVar[bool] = False
    """Whether it says nothing of cases whose true partners are not known."""
    compares_cases: ClassVar[bool] = False
    """Whether its rows are pairs of test cases, of which a task must have two."""
    beside: ClassVar[dict[str, str]] = {}
    """Shown beside the score: names of `METRICS`, each with what a row holds of it; means over rows."""

    @abstractmethod
    def looks(self, train: int, test: int) -> int:
        """How often `measure` advances, of so many cases."""

    @abstractmethod
    def measure(self, data: Measured, descriptor: Descriptor | None) -> Rows:
        """The rows of the test cases, or of their pairs.

        `descriptor` is None for the controls `identity` and `truth`, which describe nothing. Raises UserError for data
        that cannot be measured.
        """

    def build(self, *_: Any) -> NoReturn:
        """Never called: nothing is built on the backbone. Raises TypeError."""
        raise TypeError("a measurement trains no network")

    def prepare(self, *_: Any) -> NoReturn:
        """Never called: nothing is trained. Raises TypeError."""
        raise TypeError("a measurement trains no network")
