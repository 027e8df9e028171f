"""Scores of pooled folds and of subjects with several scans whose truth is known, for docs/statistics.md.

``python -m tests.report.simulated_folds`` prints its tables.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ssl_bench.report.mean_rank import _Cases
from ssl_bench.report.statistics import Array, Interval, auc_interval, mean_interval, sign_flip_p, t_test
from ssl_bench.report.units import Units, components, for_tests, parts_of, score_of, subject_sums
from tests.report.simulated import SKEWED, beta, mean_rank_intervals

SEEDS, NETWORKS = (1, 3, 5), (0.0, 1.0, 2.0)
"""The standard deviation of what a network adds, in standard errors of the mean over the cases of its fold."""


def units(subjects: int, folds: int, scans: int = 1) -> Units:
    """So many subjects with so many scans each, dealt into folds."""
    return Units(np.repeat(np.arange(subjects), scans), np.repeat(np.arange(subjects) % folds, scans))


def values_of(
    generator: np.random.Generator,
    kind: str,
    shape: tuple[int, int],
    grouped: Units,
    network: float,
    seed: float,
    overlap: float = 0.0,
) -> tuple[Array, Array]:
    """Scores (draws, seeds, cases) with the truth of each draw.

    Of each case's spread half is its subject's, and 0.3 standard deviations more are noise. A network adds to its fold
    `network` standard errors of the fold's mean, as does its training set `overlap`, alike in all folds; a seed adds
    `seed` standard errors of the mean. With one seed, which is taken as given, what it adds belongs to the truth.
    """
    draws, seeds = shape
    cases, folds = len(grouped.folds), grouped.networks
    mean, deviation = (0.0, 1.0) if kind == "difference" else SKEWED[kind]
    of_subject = _own(generator, kind, (draws, 1, grouped.count), mean, deviation)[..., grouped.subjects]
    of_case = _own(generator, kind, (draws, 1, cases), mean, deviation)
    own = of_case if grouped.count == cases else mean + (of_subject + of_case - 2 * mean) / 2**0.5
    by_network = network * (folds / cases) ** 0.5 * generator.normal(size=(draws, seeds, folds))[..., grouped.folds]
    shared = overlap * (folds / cases) ** 0.5 * generator.normal(size=(draws, 1, 1))
    by_seed = seed / cases**0.5 * generator.normal(size=(draws, seeds, 1))
    noise = 0.3 * generator.normal(size=(draws, seeds, cases))
    truth = mean + (deviation * by_seed.mean((1, 2)) if seeds < 3 else np.zeros(draws))
    return own + deviation * (by_network + shared + by_seed + noise), truth


def _own(generator: np.random.Generator, kind: str, shape: tuple[int, ...], mean: float, deviation: float) -> Array:
    return generator.normal(size=shape) if kind == "difference" else beta(generator, mean, deviation, shape)


def coverage(
    kind: str, draws: int, seeds: int, grouped: Units, network: float, seed: float = 0.0, overlap: float = 0.0
) -> float:
    """How often the interval of a mean over pooled folds holds the truth."""
    values, truth = values_of(
        np.random.default_rng(0), kind, (draws, seeds), grouped, network, seed * (seeds > 1), overlap
    )
    found: Interval = mean_interval(parts_of(values, None, grouped))
    return float(np.mean((found.low <= truth) & (truth <= found.high)))


def false_positives(draws: int, seeds: int, grouped: Units, network: float, aware: Units | None = None) -> float:
    """How often a test at 5 % tells equal rows apart that knows of the groups `aware`, by default the true ones."""
    values, _ = values_of(np.random.default_rng(1), "difference", (draws, seeds), grouped, network, 0.0)
    known = aware or grouped
    if seeds < 3 and not known.pooled:
        p = sign_flip_p(subject_sums(values.mean(1), known), np.random.default_rng(0))
    else:
        p = t_test(for_tests(parts_of(values, None, known), known, seeds))
    return float(np.mean(p < 0.05))


def auc_values(draws: int, seeds: int, grouped: Units, truth: float, network: float) -> tuple[Array, NDArray[np.bool_]]:
    """Scores (draws, seeds, cases), 40 % of them of positive cases, in every fold alike.

    A network shifts the scores of all its cases alike, by `network` standard deviations: its calibration is its own.
    """
    generator, cases = np.random.default_rng(0), len(grouped.folds)
    positive = (np.arange(cases) // grouped.networks) % 5 < 2
    shift = 2**0.5 * special.ndtri(truth)
    own = (generator.normal(size=(draws, 1, cases)) + generator.normal(size=(draws, seeds, cases))) / 2**0.5
    by_network = network * generator.normal(size=(draws, seeds, grouped.networks))[..., grouped.folds]
    return own + shift * positive + by_network, positive


def auc_coverage(draws: int, seeds: int, grouped: Units, truth: float, network: float) -> tuple[float, float, float]:
    """Of the interval of the folds' mean AUC; the mean of that AUC, and that of the AUC of pooled scores."""
    scores, positive = auc_values(draws, seeds, grouped, truth, network)
    values = components(scores, positive, grouped)
    found = auc_interval(parts_of(values, positive, grouped))
    pooled = components(scores, positive, Units.single(len(positive)))[..., positive].mean()
    covered = (found.low <= truth) & (truth <= found.high)
    return float(np.mean(covered)), float(score_of(values, positive, grouped).mean()), float(pooled)


def mean_rank_coverage(draws: int, seeds: int, network: float, gaps: float) -> float:
    """How often the intervals of six rows over four columns of thirty subjects in five folds hold the mean rank to
    expect of a repetition; the rows' means lie `gaps` standard errors apart, on average."""
    generator, folds = np.random.default_rng(0), np.arange(30) % 5
    means = gaps * generator.normal(size=(4, 6)) / 30**0.5

    def columns() -> Iterator[_Cases]:
        for place, mean in enumerate(means):
            own = mean[:, None, None] + generator.normal(size=(6, 1, 30)) + 2 * generator.normal(size=(1, 1, 30))
            own = own + network / 6**0.5 * generator.normal(size=(6, seeds, 5))[..., folds]
            own = own + 0.3 * generator.normal(size=(6, seeds, 30))
            yield _Cases(own, [np.ones(30, dtype=bool)], (f"task {place}",), folds, np.full(5, 0.2))

    low, high, expected = mean_rank_intervals(draws, seeds, generator, columns)
    return float(np.mean((low <= expected) & (expected <= high)))


def documented() -> Iterator[str]:
    """The tables of docs/statistics.md, line by line."""
    yield "coverage over five folds; networks 0, 1, 2; then with a seed of 1 as well"
    for kind, subjects, seeds in product(("difference", "good", "low"), (30, 60, 100), SEEDS):
        grouped = units(subjects, 5)
        found = [coverage(kind, 10_000, seeds, grouped, network) for network in NETWORKS]
        found += [coverage(kind, 10_000, seeds, grouped, network, 1.0) for network in NETWORKS] if seeds > 1 else []
        yield f"| {kind} | {subjects} | {seeds} | " + " | ".join(f"{100 * one:.1f}" for one in found) + " |"
    yield "coverage, 60 subjects, difference: ten folds, three folds, two scans a subject, training sets 1 and 2"
    for seeds in SEEDS:
        found = [coverage("difference", 10_000, seeds, units(60, folds), 1.0) for folds in (10, 3)]
        found.append(coverage("difference", 10_000, seeds, units(60, 5, scans=2), 1.0))
        found += [coverage("difference", 10_000, seeds, units(60, 5), 1.0, 0.0, overlap) for overlap in (1.0, 2.0)]
        yield f"| {seeds} | " + " | ".join(f"{100 * one:.1f}" for one in found) + " |"
    yield "false positives over five folds, aware and as if the cases stood alone; networks 0, 1, 2"
    for subjects, seeds in product((30, 100), SEEDS):
        grouped = units(subjects, 5)
        found = [
            100 * false_positives(4_000, seeds, grouped, network, aware)
            for network in NETWORKS
            for aware in (grouped, Units.single(subjects))
        ]
        yield f"| {subjects} | {seeds} | " + " | ".join(f"{one:.1f}" for one in found) + " |"
    yield "two scans a subject, one fold: false positives by subject and by case"
    for subjects, seeds in product((12, 40), SEEDS):
        grouped = units(subjects, 1, scans=2)
        found = [
            100 * false_positives(4_000, seeds, grouped, 0.0, aware) for aware in (grouped, Units.single(2 * subjects))
        ]
        yield f"| {subjects} | {seeds} | " + " | ".join(f"{one:.1f}" for one in found) + " |"
    yield "mean ranks over five folds: coverage; rows 0, 1, 3 standard errors apart, networks 0, 1, 2 each"
    for seeds in SEEDS:
        found = [mean_rank_coverage(200, seeds, network, gaps) for gaps in (0.0, 1.0, 3.0) for network in NETWORKS]
        yield f"| {seeds} | " + " | ".join(f"{100 * one:.1f}" for one in found) + " |"
    yield "AUC over five folds: coverage, mean of the folds' AUC, AUC of pooled scores; calibration 0, 0.5, 1"
    for truth, cases, seeds in product((0.75, 0.9), (50, 100), SEEDS):
        three = [auc_coverage(4_000, seeds, units(cases, 5), truth, network) for network in (0.0, 0.5, 1.0)]
        shown = " | ".join("{:.1f}, {:.1f}, {:.1f}".format(*(100 * one for one in found)) for found in three)
        yield f"| {truth} | {cases} | {seeds} | {shown} |"


if __name__ == "__main__":
    for line in documented():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
