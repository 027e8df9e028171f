"""How a report prints numbers, in whatever format."""

from __future__ import annotations

import math

import numpy as np

from ssl_bench.api.metric import Metric
from ssl_bench.report.mean_rank import MeanRank
from ssl_bench.report.statistics import Interval
from ssl_bench.report.table import Place


def score_text(place: Place, metric: Metric) -> str:
    """The mean over seeds, with the standard deviation where there are several; a dash without a score."""
    if not place.scored:
        return "–"
    return metric.text(place.mean) + (f" ± {metric.text(place.spread)}" if place.scored > 1 else "")


def mean_rank_text(rank: MeanRank | None) -> str:
    """The mean rank with its interval where it has one; a dash where there is none."""
    if rank is None:
        return "–"
    return f"{rank.value:.1f}" + ("" if math.isnan(rank.low) else f" [{rank.low:.1f}, {rank.high:.1f}]")


def interval_text(interval: Interval, metric: Metric, sign: str = "") -> str:
    """The value with its interval; `sign` as in a format string."""
    if np.isnan(interval.value):
        return "n/a"
    value, low, high = (metric.text(float(part), sign) for part in (interval.value, interval.low, interval.high))
    return f"{value} [{'n/a' if np.isnan(interval.low) else f'{low}, {high}'}]"


def cases_text(cases: int, subjects: int, of_pairs: bool = False) -> str:
    """How many test cases, and of how many subjects where some have several; or how many pairs of them."""
    if of_pairs:
        return f"{cases} pairs of {subjects} subjects"
    return f"{cases} test cases" if subjects == cases else f"{subjects} subjects, {cases} scans"


def p_text(p: float) -> str:
    """To three digits, a smaller one in its magnitude; NaN as n/a."""
    return "n/a" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def number_text(value: float, digits: int) -> str:
    """With so many digits; NaN as a dash."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
