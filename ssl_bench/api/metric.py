"""What scores mean: how each metric is printed, what it may be, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log10
from typing import Literal

MetricName = Literal["DSC", "AUC", "macro AUC", "MAE", "match error", "mAP"]
"""Those by which tasks are ranked, and those of protocols that train nothing."""


@dataclass(frozen=True)
class Metric:
    """A number that says how good a prediction is."""

    name: str
    title: str
    unit: Literal["%", "mm", ""]
    """``%``: a fraction, printed x 100. Empty: the target's own unit, or none."""
    higher_is_better: bool
    decimals: int
    """As printed."""
    lowest: float = 0.0
    highest: float = 1.0
    of_case: str = ""
    """What a record's case holds of it, where a score is the mean over its cases or pairs of cases."""

    @property
    def factor(self) -> float:
        """What a value is multiplied by to be printed."""
        return 100.0 if self.unit == "%" else 1.0

    @property
    def sign(self) -> float:
        """What a value is multiplied by so that larger is better."""
        return 1.0 if self.higher_is_better else -1.0

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which way is better, in a word."""
        return "higher" if self.higher_is_better else "lower"

    @property
    def heading(self) -> str:
        """The name; an arrow says where lower is better, which is the exception."""
        return self.name if self.higher_is_better else f"{self.name} ↓"

    @property
    def axis(self) -> str:
        """The heading with the unit, for a picture."""
        return f"{self.heading} ({self.unit})" if self.unit else self.heading

    def text(self, value: float, sign: str = "") -> str:
        """As printed; `sign` as in a format string. Numbers that differ in their last bits alone are printed alike."""
        return f"{round(self.factor * value, 6):{sign}.{self.decimals}f}"

    def rounded(self, value: float) -> float:
        """The value that is printed."""
        return round(round(value, 8), self.decimals + round(log10(self.factor)))


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("DSC", "Dice similarity coefficient", "%", True, 1, of_case="dsc"),
        Metric("AUC", "area under the receiver operating characteristic", "%", True, 1),
        Metric("macro AUC", "mean over the classes of the AUC of each against the rest", "%", True, 1),
        Metric("MAE", "mean absolute error", "", False, 3, highest=inf),
        Metric("accuracy", "share of cases whose most probable class is theirs", "%", True, 1),
        Metric("balanced accuracy", "mean over the classes of the accuracy on their cases", "%", True, 1),
        Metric("Pearson r", "correlation of prediction and target", "", True, 3, lowest=-1.0),
        Metric("R²", "share of the target's variance that is explained", "", True, 3, lowest=-inf),
        Metric(
            "match error",
            "median distance from a point's match to its true partner",
            "mm",
            False,
            2,
            highest=inf,
            of_case="error_mm",
        ),
        Metric("within 2 voxels", "share of points whose match is at most two voxels off", "%", True, 1),
        Metric("coarse-to-fine error", "match error of a search through the stages", "mm", False, 2, highest=inf),
        Metric("mAP", "mean average precision", "%", True, 1, of_case="average_precision"),
        Metric("one-shot DSC", "DSC with a single annotated case", "%", True, 1),
        Metric("TRE", "target registration error: mean distance to the true partner", "mm", False, 2, highest=inf),
        Metric("folded", "share of voxels at which a displacement folds", "%", False, 2),
        Metric("own map DSC", "DSC by the map of the method's own heads", "%", True, 1),
        Metric("own map TRE", "target registration error of the method's own map", "mm", False, 2, highest=inf),
        Metric("own map folded", "share of voxels at which the method's own map folds", "%", False, 2),
    )
}
"""By name: those of `MetricName`, by which rows are ranked, and those that are shown beside them."""
