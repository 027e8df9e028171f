"""Scores case by case out of the records, and one row's minus another's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ssl_bench.report import statistics
from ssl_bench.report.statistics import Array, Estimate
from ssl_bench.spec.record import EvaluationRecord


@dataclass(frozen=True)
class Scores:
    """One row's scores of some test cases: (cases,) for each seed, NaN where undefined."""

    by_seed: dict[int, Array]
    positive: NDArray[np.bool_] | None
    """Which cases are of the positive class, where the metric is the AUC; None where it is the DSC."""

    def stacked(self, seeds: Sequence[int]) -> Array:
        """(seeds, cases)."""
        return np.stack([self.by_seed[seed] for seed in seeds])

    def case_values(self, seeds: Sequence[int], kept: NDArray[np.bool_]) -> Array:
        """(seeds, kept cases): each seed's DSC of a case, or what the case contributes to its AUC."""
        if self.positive is None:
            return self.stacked(seeds)[:, kept]
        if kept.all():
            return np.stack([self._components[seed] for seed in seeds])
        return statistics.auc_components(self.stacked(seeds)[:, kept], self.positive[kept])

    @cached_property
    def _components(self) -> dict[int, Array]:
        """What each case contributes to each seed's AUC, where every case is kept: each comparison needs that again."""
        assert self.positive is not None
        components = statistics.auc_components(np.stack(list(self.by_seed.values())), self.positive)
        return dict(zip(self.by_seed, components, strict=True))


@dataclass(frozen=True)
class Difference:
    """One row minus another, over the seeds and cases that both have."""

    estimate: Estimate
    p: float
    """Uncorrected."""
    cases: int
    freedom: int
    """Degrees of freedom of the standard error."""
    least_p: float
    """What the test could reach at best with so many cases."""

    @property
    def standardised(self) -> float:
        """In standard deviations of the paired differences (Cohen's d_z); for AUC its analogue."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self.estimate.value / (self.estimate.error * np.sqrt(self.cases)))

    def detectable(self, family: int) -> float:
        """The true difference found in 80 % of draws at 5 % corrected for `family` tests; infinite where none is."""
        if self.least_p * family >= 0.05:
            return np.inf
        return statistics.detectable_difference(float(self.estimate.error), 0.05 / family, self.freedom)


def defined(scores: Array) -> NDArray[np.bool_]:
    """Which cases have a score under every seed of `scores` (seeds, cases)."""
    every: NDArray[np.bool_] = np.isfinite(scores).sum(0) == len(scores)
    return every


def case_names(records: Iterable[EvaluationRecord]) -> list[str]:
    """Every test case that one of `records` holds scores of."""
    return sorted({str(case.get("case")) for record in records for case in record.cases})


def read_scores(records: Mapping[int, EvaluationRecord], cases: Sequence[str]) -> Scores:
    """The scores of `cases` in a row's `records` by seed."""
    by_seed: dict[int, Array] = {}
    positive: set[str] = set()
    metric = "DSC"
    for seed, record in sorted(records.items()):
        metric = record.metric
        name = "probability" if metric == "AUC" else "dsc"
        found = {str(case.get("case")): case.get(name) for case in record.cases}
        by_seed[seed] = np.array([found.get(case) for case in cases], dtype=float)
        positive |= {str(case.get("case")) for case in record.cases if case.get("label") == 1}
    return Scores(by_seed, np.array([case in positive for case in cases]) if metric == "AUC" else None)


def subtract(first: Scores, second: Scores, generator: np.random.Generator) -> Difference | None:
    """`first` minus `second`; a case undefined on either side is dropped. None without a common seed or case."""
    seeds = sorted(first.by_seed.keys() & second.by_seed.keys())
    if not seeds:
        return None
    kept = defined(first.stacked(seeds) - second.stacked(seeds))
    if not kept.any():
        return None
    values = first.case_values(seeds, kept).mean(0) - second.case_values(seeds, kept).mean(0)
    if first.positive is None:
        (p,), least_p = statistics.sign_flip_p(values[None], generator), statistics.smallest_p(len(values))
        return Difference(statistics.mean_estimate(values), float(p), len(values), len(values) - 1, least_p)
    estimate, p = statistics.auc_difference(values, first.positive[kept])
    return Difference(estimate, float(p), len(values), len(values) - 2, 0.0)
