"""What intervals and tests do in data shaped like the reference's: coverage, false positives, smallest differences.

``python -m tests.report.simulated_plan`` writes the tables of results/reference/PLAN.md and their table in
docs/statistics.md, in three minutes of one core; what the pilot saw comes from results/reference/pilot.csv.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.tables import Row, table, write_into
from ssl_bench.report.statistics import Array, Parts, holm, mean_interval, mean_parts, t_test
from ssl_bench.report.units import Units, for_tests, parts_of
from tests.report.simulated import beta

ROOT = Path(__file__).parents[2]
PLAN = ROOT / "results" / "reference" / "PLAN.md"
PILOT = PLAN.with_name("pilot.csv")
STATISTICS = ROOT / "docs" / "statistics.md"
ROWS = 16
"""Of the plan: scratch, with which the others are compared, and fifteen more."""
SEEDS, DRAWS = (3, 5, 10), 1_000
_CHUNK = 50
"""Draws at a time, which bounds memory."""


@dataclass(frozen=True)
class Shape:
    """The people of a task's test cases, the first `paired` of them with two scans, dealt into folds."""

    people: int
    paired: int = 0
    folds: int = 1

    @property
    def units(self) -> Units:
        subjects = np.concatenate([np.arange(self.people), np.arange(self.paired)])
        return Units(subjects, subjects % self.folds)


@dataclass(frozen=True)
class Spread:
    """Standard deviations, in points of DSC, of what a row adds to its scores; what rows share cancels."""

    seed: float
    """To all folds of a seed alike, as a pre-training does."""
    network: float
    """To a fold's cases, by its own training under each seed."""
    person: float
    """To a person, under every seed: whom this row suits."""
    scan: float
    """To a scan, under every seed."""
    noise: float
    """To a scan under each seed."""


FINE_TUNED = Spread(seed=0.5, network=0.5, person=0.2, scan=0.2, noise=0.55)
"""After the pilot on brains, where a seed adds 0.7: one fold does not tell of what, so half of the variance each."""
LINEAR = Spread(seed=2.8, network=2.8, person=0.5, scan=0.5, noise=1.45)
"""After the pilot's five seeds of scratch; what a row adds to a person is a guess."""

SHAPES = {
    "brains, 30 people, 5 folds": Shape(30, folds=5),
    "brains, 6 people, one split": Shape(6),
    "hippocampus, 170 people, 90 with two sides, 5 folds": Shape(170, 90, folds=5),
    "hippocampus, 34 people, 18 with two sides, one split": Shape(34, 18),
    "hearts, 99 people, two phases each, 5 folds": Shape(99, 99, folds=5),
    "hearts, 20 people, two phases each, one split": Shape(20, 20),
}


def shares(spread: Spread) -> tuple[Spread, Spread, Spread]:
    """What a seed adds as it is given; all of it by the pre-training; all of it by each training for itself."""
    whole = (spread.seed**2 + spread.network**2) ** 0.5
    return spread, replace(spread, seed=whole, network=0.0), replace(spread, seed=0.0, network=whole)


def equal_rows(generator: np.random.Generator, shape: tuple[int, int, int], units: Units, spread: Spread) -> Array:
    """Scores (draws, rows, seeds, scans) of rows whose true mean is zero; people and scans are skewed as good DSC."""
    draws, rows, seeds = shape
    scans = len(units.folds)
    own = spread.person * _skewed(generator, (draws, rows, 1, units.count))[..., units.subjects]
    own = own + spread.scan * _skewed(generator, (draws, rows, 1, scans))
    by_seed = spread.seed * generator.normal(size=(draws, rows, seeds, 1))
    by_network = spread.network * generator.normal(size=(draws, rows, seeds, units.networks))[..., units.folds]
    return own + by_seed + by_network + spread.noise * generator.normal(size=(draws, rows, seeds, scans))


def _skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Of mean 0, standard deviation 1 and skewness -0.8."""
    return (beta(generator, 0.85, 0.08, shape) - 0.85) / 0.08


@cache
def differences(shape: Shape, spread: Spread, seeds: int, draws: int = DRAWS, rows: int = ROWS) -> Parts:
    """Of equal rows to the first one (draws, rows - 1), as the report makes them of pooled folds and of subjects."""
    generator, units, found = np.random.default_rng(0), shape.units, []
    for _ in range(draws // _CHUNK):
        values = equal_rows(generator, (_CHUNK, rows, seeds), units, spread)
        found.append(for_tests(parts_of(values[:, 1:] - values[:, :1], None, units), units, seeds))
    arrays = {
        name: np.concatenate([getattr(one, name) for one in found])
        for name, part in found[0]._asdict().items()
        if np.ndim(part)
    }
    return found[0]._replace(**arrays)


def coverage(parts: Parts) -> float:
    """How often the interval of a difference of equal rows holds zero."""
    interval = mean_interval(parts)
    return float(np.mean((interval.low <= 0) & (interval.high >= 0)))


def half_width(parts: Parts) -> float:
    """The median half of the interval of a difference."""
    interval = mean_interval(parts)
    return float(np.median(interval.high - interval.low)) / 2


def false_positives(parts: Parts) -> tuple[float, float]:
    """How often an equal row is told from the first at 5 %, and how often any is after Holm's correction."""
    p = t_test(parts)
    return float(np.mean(p < 0.05)), float(np.mean([(holm(own) < 0.05).any() for own in p]))


def smallest_difference(parts: Parts, family: int, power: float = 0.8) -> float:
    """By how much one row must differ from the first to be found in `power` of draws by Holm's first step.

    The others of the `family` are equal, so that the later steps, which ask for less, hardly ever help. A true
    difference moves the mean and leaves its variance: it is added to what was drawn.
    """
    low, high = 0.0, 1_000.0
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        found = float(np.mean(t_test(parts._replace(value=parts.value + middle)) < 0.05 / family))
        low, high = (low, middle) if found >= power else (middle, high)
    return high


class Components(NamedTuple):
    """The mean of a table of seeds and cases, and standard deviations of its two crossed random effects."""

    mean: float
    seeds: float
    cases: float
    residual: float


def components_of(values: Array) -> Components:
    """Of `values` (seeds, cases), by the mean squares; a negative variance is zero.

    Of fewer than three seeds only the cases' is said, with the residual in it.
    """
    (seeds, cases), parts = values.shape, mean_parts(values)
    residual = float(parts.residual)
    by_seed = seeds * max(0.0, float(parts.over_seeds) - residual)
    by_case = cases * max(0.0, float(parts.over_cases) - residual)
    spreads = (by_seed**0.5, by_case**0.5, (seeds * cases * residual) ** 0.5)
    return Components(float(values.mean()), *(spreads if seeds > 2 else (np.nan, spreads[1], np.nan)))


def pilot() -> Iterator[Row]:
    """The components of every row of the pilot by itself, and of its difference to scratch at the same seeds."""
    scores = pd.read_csv(PILOT)
    tables = {
        (str(task), str(protocol), str(method)): own.pivot(index="seed", columns="case", values="dsc")
        for (task, protocol, method), own in scores.groupby(["task", "protocol", "row"], sort=False)
    }
    for (task, protocol, method), own in tables.items():
        yield _said(f"{task}, {protocol}, {method}", own)
    for (task, protocol, method), own in tables.items():
        scratch = tables.get((task, protocol, "scratch"), own[:0])
        both = own.index.intersection(scratch.index)
        if not method.startswith("scratch") and len(both) > 2:
            yield _said(f"{task}, {protocol}, {method} - scratch", own.loc[both] - scratch.loc[both])


def _said(name: str, values: pd.DataFrame) -> Row:
    figures = {
        part: "–" if np.isnan(own) else f"{own:.2f}" for part, own in components_of(values.to_numpy())._asdict().items()
    }
    return {"pilot": name, "n seeds": values.shape[0], "n cases": values.shape[1], **figures}


def intervals() -> Iterator[Row]:
    """Coverage, false positives of one test and of any of fifteen after Holm, in %."""
    names = ("half each", "all pre-training", "all training")
    for (name, shape), seeds in product(SHAPES.items(), SEEDS[:2]):
        found = [differences(shape, spread, seeds) for spread in shares(FINE_TUNED)]
        figures = [100 * np.array([coverage(parts), *false_positives(parts)]) for parts in found]
        shown = {one: ", ".join(f"{figure:.1f}" for figure in own) for one, own in zip(names, figures, strict=True)}
        yield {"test cases": name, "seeds": seeds, **shown}


def smallest() -> Iterator[Row]:
    """Of each column in points of DSC: half of the interval of a difference (median), the smallest difference of one
    comparison by itself, and that of one of fifteen after Holm."""
    columns = {f"{name}, fine-tuned": (shape, FINE_TUNED) for name, shape in SHAPES.items()}
    columns |= {f"{name}, linear": (shape, LINEAR) for name, shape in SHAPES.items() if name.startswith("brains")}
    for name, (shape, spread) in columns.items():
        row: Row = {"column": name}
        for seeds in SEEDS:
            parts = differences(shape, spread, seeds)
            figures = [half_width(parts), *(smallest_difference(parts, family) for family in (1, ROWS - 1))]
            row[f"{seeds} seeds"] = ", ".join(f"{figure:.1f}" for figure in figures)
        yield row


def write() -> None:
    """Put the tables between their markers in the plan and in docs/statistics.md."""
    plan = {"What the pilot saw": pilot(), "Smallest differences": smallest()}
    write_into(PLAN, {title: table(list(rows)) for title, rows in plan.items()})
    write_into(STATISTICS, {"Intervals in data shaped like the reference's": table(list(intervals()))})


if __name__ == "__main__":
    write()
