"""The plan of the reference rests on intervals that hold in data of its shape, and on what its pilot saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ssl_bench.report.statistics import mean_parts
from tests.report.simulated_plan import (
    FINE_TUNED,
    PILOT,
    SEEDS,
    SHAPES,
    Shape,
    components_of,
    coverage,
    differences,
    equal_rows,
    false_positives,
    smallest_difference,
)

FEW = {"draws": 1_000, "rows": 3}
"""Moderate: the standard error of a coverage is 0.6 points at most."""


@pytest.mark.parametrize("seeds", SEEDS[:2])
@pytest.mark.parametrize("name", [name for name in SHAPES if name.endswith("5 folds")])
def test_intervals_cover_in_data_shaped_like_the_references(name: str, seeds: int) -> None:
    """93 to 97 %, and up to a standard error or so beyond: docs/statistics.md has the table."""
    parts = differences(SHAPES[name], FINE_TUNED, seeds, **FEW)
    assert 0.93 <= coverage(parts) <= 0.98
    assert max(false_positives(parts)) <= 0.06


def test_sides_of_a_person_that_are_taken_for_two_people_are_not_covered() -> None:
    """Where rows differ in whom they suit and seeds add nothing."""
    pairs, spread = Shape(20, 20), replace(FINE_TUNED, seed=0.0, network=0.0, person=2.0)
    values = equal_rows(np.random.default_rng(0), (1_000, 2, 3), pairs.units, spread)
    assert coverage(mean_parts(values[:, 0] - values[:, 1])) < 0.9
    assert coverage(differences(pairs, spread, 3, **FEW)) > 0.93


def test_equal_rows_have_the_spread_that_is_asked_for() -> None:
    shape, draws = Shape(10, 4, folds=2), 20_000
    values = equal_rows(np.random.default_rng(0), (draws, 1, 2), shape.units, FINE_TUNED)[:, 0]
    assert values.mean() == pytest.approx(0, abs=0.02)
    one, seeds = FINE_TUNED, values[:, 0] - values[:, 1]
    assert seeds.std() == pytest.approx((2 * (one.seed**2 + one.network**2 + one.noise**2)) ** 0.5, rel=0.02)
    total = sum(getattr(one, part) ** 2 for part in ("seed", "network", "person", "scan", "noise"))
    assert values.std() == pytest.approx(total**0.5, rel=0.02)
    both = np.mean(values[:, 0, 0] * values[:, 0, 10])
    assert both == pytest.approx(one.seed**2 + one.network**2 + one.person**2, rel=0.05)


def test_the_smallest_difference_is_found_as_often_as_it_says() -> None:
    """Against a paired t test of scipy: seeds that all agree leave the cases alone."""
    parts = differences(Shape(20), type(FINE_TUNED)(0.0, 0.0, 1.0, 0.0, 0.0), 3, **FEW)
    smallest = smallest_difference(parts, 1)
    cases = stats.norm.rvs(smallest, 2**0.5, (20_000, 20), random_state=0)
    assert np.mean(stats.ttest_1samp(cases, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)
    assert smallest_difference(parts, 15) > smallest


def test_components_are_those_of_the_mean_squares() -> None:
    """Searle, Casella and McCulloch (1992): two crossed random effects, by loops."""
    values = np.random.default_rng(0).normal(size=(4, 7)) + np.arange(4)[:, None] + 2 * np.arange(7)
    by_seed, by_case, grand = values.mean(1), values.mean(0), values.mean()
    rest = sum((values[s, c] - by_seed[s] - by_case[c] + grand) ** 2 for s in range(4) for c in range(7)) / 18
    found = components_of(values)
    assert found.residual == pytest.approx(rest**0.5)
    assert found.seeds == pytest.approx((by_seed.var(ddof=1) - rest / 7) ** 0.5)
    assert found.cases == pytest.approx((by_case.var(ddof=1) - rest / 4) ** 0.5)
    assert np.isnan(components_of(values[:2]).seeds)


def test_the_simulation_takes_what_the_pilot_saw() -> None:
    """Seeds and residual of the fine-tuned rows on brains, averaged as variances."""
    scores = pd.read_csv(PILOT).query("task == 'brains' and protocol == 'finetune-v2'")
    rows = [own.pivot(index="seed", columns="case", values="dsc") for _, own in scores.groupby("row")]
    found = np.array([components_of(own.to_numpy()) for own in rows if len(own) > 2])
    _, seed, _, residual = (found**2).mean(0) ** 0.5
    assert seed == pytest.approx((FINE_TUNED.seed**2 + FINE_TUNED.network**2) ** 0.5, abs=0.05)
    assert residual == pytest.approx(FINE_TUNED.noise, abs=0.02)
