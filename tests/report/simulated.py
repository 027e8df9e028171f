"""Scores whose truth is known: what tests and docs/statistics.md say of coverage and false positives.

``python -m tests.report.simulated`` prints the tables of docs/statistics.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.stats import rankdata

from ssl_bench.report.mean_rank import Resampling, _Cases
from ssl_bench.report.statistics import (
    Array,
    auc_components,
    auc_interval,
    auc_parts,
    holm,
    mean_interval,
    mean_parts,
    t_test,
)

# DSC-like scores: mean, standard deviation; their skewness is -0.8, -1.3 and 1.3.
SKEWED = {"good": (0.85, 0.08), "nearly perfect": (0.9, 0.08), "low": (1 / 7, 0.1237)}
KINDS = ("difference", *SKEWED)
"""What is averaged: the difference of two rows, or the scores of one."""
SEEDS, SPREADS = (3, 5), (0.0, 0.5, 1.0, 2.0)
"""The standard deviation of what a seed adds, in standard errors of the mean over cases."""
_ROW = 0.032
"""Standard deviation over cases of what a row adds to how hard a case is."""


def beta(generator: np.random.Generator, mean: float, deviation: float, shape: tuple[int, ...]) -> Array:
    total = mean * (1 - mean) / deviation**2 - 1
    return generator.beta(mean * total, (1 - mean) * total, shape)


def rows(generator: np.random.Generator, shape: tuple[int, int, int, int], spread: float, noise: float) -> Array:
    """Equal rows (draws, rows, seeds, cases) but for how hard a case is, which all share.

    Each adds to a case something skewed of its own, to a seed something of `spread` standard errors, and to a seed's
    case something of `noise` standard deviations.
    """
    draws, count, seeds, cases = shape
    own = _ROW / 0.08 * beta(generator, 0.9, 0.08, (draws, count, 1, cases))
    by_seed = spread * _ROW / cases**0.5 * generator.normal(size=(draws, count, seeds, 1))
    return own + by_seed + noise * _ROW * generator.normal(size=shape)


def values_of(kind: str, draws: int, seeds: int, cases: int, spread: float, noise: float) -> tuple[Array, float]:
    """(draws, seeds, cases) and their true mean."""
    generator = np.random.default_rng(0)
    if kind == "difference":
        pair = rows(generator, (draws, 2, seeds, cases), spread, noise)
        return pair[:, 0] - pair[:, 1], 0.0
    mean, deviation = SKEWED[kind]
    by_seed = spread * deviation / cases**0.5 * generator.normal(size=(draws, seeds, 1))
    residual = noise * deviation * generator.normal(size=(draws, seeds, cases))
    return beta(generator, mean, deviation, (draws, 1, cases)) + by_seed + residual, mean


def coverage(kind: str, draws: int, seeds: int, cases: int, spread: float, noise: float) -> float:
    """How often the interval of a mean over seeds and cases holds the truth of all seeds and cases."""
    values, truth = values_of(kind, draws, seeds, cases, spread, noise)
    found = mean_interval(mean_parts(values))
    return float(np.mean((found.low <= truth) & (truth <= found.high)))


def false_positives(
    draws: int, count: int, seeds: int, cases: int, spread: float, noise: float
) -> tuple[float, float, float]:
    """How often one of equal rows is told from another, any from the first, and any from any after correction."""
    generator, (first, second) = np.random.default_rng(0), np.triu_indices(count, 1)
    found = []
    for _ in range(draws // 100):
        values = rows(generator, (100, count, seeds, cases), spread, noise)
        for p in t_test(mean_parts(values[:, first] - values[:, second])):
            found.append((np.mean(p < 0.05), (holm(p[first == 0]) < 0.05).any(), (holm(p) < 0.05).any()))
    single, baseline, pairs = np.mean(found, axis=0)
    return float(single), float(baseline), float(pairs)


def probabilities(
    generator: np.random.Generator, shape: tuple[int, ...], truth: float, spread: float, positive: NDArray[np.bool_]
) -> tuple[Array, float]:
    """Scores (draws, ..., seeds, cases) of rows whose AUC is near `truth`, and the AUC to expect of a seed.

    Half of a score's variance is the case's own, half a seed's. A seed moves the positive cases by so much that its AUC
    varies by `spread` standard errors that the AUC of one seed has over cases.
    """
    *others, _, cases = shape
    shift = 2**0.5 * special.ndtri(truth)
    slope = np.exp(-(shift**2) / 4) / (2 * np.pi**0.5)
    error = _error_of_auc(truth, int(positive.sum()), int((~positive).sum()))
    by_seed = spread * error / slope * generator.normal(size=(*shape[:-1], 1))
    own = generator.normal(size=(*others, 1, cases)) + generator.normal(size=shape)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    expected = weights @ special.ndtr((shift + spread * error / slope * nodes) / 2**0.5) / weights.sum()
    return own / 2**0.5 + (shift + by_seed) * positive, float(expected)


def _error_of_auc(auc: float, positive: int, negative: int) -> float:
    """Hanley and McNeil's standard error (1982)."""
    both = (positive - 1) * (auc / (2 - auc) - auc**2) + (negative - 1) * (2 * auc**2 / (1 + auc) - auc**2)
    return float(np.sqrt((auc * (1 - auc) + both) / (positive * negative)))


def auc_coverage(draws: int, truth: float, seeds: int, share: float, spread: float) -> tuple[float, float, float]:
    """Of the interval of an AUC, of that of the difference of two equal rows, and its false positives; 60 cases."""
    generator, positive = np.random.default_rng(0), np.arange(60) < 60 * share
    scores, expected = probabilities(generator, (draws, 2, seeds, 60), truth, spread, positive)
    components = auc_components(scores, positive)
    own = auc_interval(auc_parts(components[:, 0], positive))
    parts = auc_parts(components[:, 0] - components[:, 1], positive)
    between = mean_interval(parts)
    defined = np.isfinite(own.low)
    return (
        float(np.mean(((own.low <= expected) & (expected <= own.high))[defined])),
        float(np.mean((between.low <= 0) & (between.high >= 0))),
        float(np.mean(t_test(parts) < 0.05)),
    )


def mean_rank_coverage(draws: int, seeds: int, spread: float, gaps: float) -> tuple[float, float]:
    """How often the intervals of thirteen rows over eight columns of sixteen cases hold the mean rank to expect of a
    repetition, and how often that of the true means.

    Those lie `gaps` standard errors apart, on average, and are related over columns, as two columns share their cases.
    """
    generator, cases = np.random.default_rng(0), 16
    row = generator.normal(size=13)
    means = [gaps * (0.6 * row + 0.8 * generator.normal(size=13)) / cases**0.5 for _ in range(8)]

    def columns() -> Iterator[_Cases]:
        for place, mean in enumerate(means):
            own = mean[:, None, None] + generator.normal(size=(13, 1, cases))
            own = own + 2 * generator.normal(size=(1, 1, cases)) + 0.5 * generator.normal(size=(13, seeds, cases))
            own = own + spread / cases**0.5 * generator.normal(size=(13, seeds, 1))
            yield _Cases(own, [np.ones(cases, dtype=bool)], (f"task {place // 2}",))

    low, high, expected = mean_rank_intervals(draws, seeds, generator, columns)
    true = sum(rankdata(-one) for one in means) / 8
    return float(np.mean((low <= expected) & (expected <= high))), float(np.mean((low <= true) & (true <= high)))


def mean_rank_intervals(
    draws: int, seeds: int, generator: np.random.Generator, columns: Callable[[], Iterable[_Cases]]
) -> tuple[Array, Array, Array]:
    """The bounds of each row's mean rank (draws, rows), and the mean rank to expect (rows,), over drawn `columns`."""
    values, bounds = [], []
    for _ in range(draws):
        resampling, found, drawn = Resampling(seeds, generator), [], []
        for column in columns():
            found.append(rankdata(-column.values.mean((1, 2))))
            drawn.append(rankdata(-resampling.scores(column), axis=0))
        values.append(np.mean(found, axis=0))
        bounds.append(np.quantile(np.mean(drawn, axis=0), (0.025, 0.975), axis=1))
    low, high = np.swapaxes(bounds, 0, 1)
    return low, high, np.mean(values, axis=0)


def documented() -> Iterator[str]:
    """The tables of docs/statistics.md, line by line."""
    yield from _documented_aucs()
    yield "mean rank: to expect of a repetition, of the true means"
    for seeds, gaps in product(SEEDS, (0.0, 1.0, 3.0, 10.0)):
        found = [mean_rank_coverage(100, seeds, spread, gaps) for spread in (0.0, 1.0, 2.0)]
        shown = " | ".join("{:.1f}, {:.1f}".format(*(100 * one for one in both)) for both in found)
        yield f"| {seeds} | {gaps} | {shown} |"
    for noise in (0.3, 1.0):
        yield f"coverage, noise {noise}"
        for kind, seeds, cases in product(KINDS, SEEDS, (12, 40, 80)):
            found = [coverage(kind, 20_000, seeds, cases, spread, noise) for spread in SPREADS]
            yield f"| {kind} | {seeds} | {cases} | " + " | ".join(f"{100 * one:.1f}" for one in found) + " |"
    yield "false positives"
    for count, seeds, cases, noise in product((6, 13), SEEDS, (12, 40), (0.3, 1.0)):
        found = [false_positives(2_000, count, seeds, cases, spread, noise) for spread in (0.0, 1.0, 2.0)]
        shown = " | ".join("{:.1f}, {:.1f}, {:.1f}".format(*(100 * one for one in three)) for three in found)
        yield f"| {count} | {seeds} | {cases} | {noise} | {shown} |"


def _documented_aucs() -> Iterator[str]:
    yield "AUC: coverage of one, of a difference, false positives"
    for truth, seeds, share in product((0.6, 0.75, 0.85, 0.95), SEEDS, (0.5, 0.3)):
        found = [auc_coverage(4_000, truth, seeds, share, spread) for spread in (0.0, 1.0, 2.0)]
        shown = " | ".join("{:.1f}, {:.1f}, {:.1f}".format(*(100 * one for one in three)) for three in found)
        yield f"| {truth} | {seeds} | {share} | {shown} |"


if __name__ == "__main__":
    for line in documented():
        sys.stdout.write(f"{line}\n")
