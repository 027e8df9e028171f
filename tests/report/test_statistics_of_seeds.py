"""From three seeds on methods are compared: intervals cover the truth of all seeds, and tests do not cry wolf."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ssl_bench.report.statistics import (
    Parts,
    auc_components,
    auc_parts,
    detectable_difference,
    mean_interval,
    mean_parts,
    t_test,
)
from tests.report.simulated import KINDS, SEEDS, SPREADS, auc_coverage, coverage, false_positives, rows

VALUES = np.random.default_rng(0).normal(size=(4, 9)) + np.arange(4)[:, None] + np.linspace(0, 3, 9) ** 2


def mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """Of seeds, of cases and of the residual, as a two-way analysis of variance sums them up by loops."""
    seeds, cases = values.shape
    grand = values.mean()
    of_seeds = cases * sum((row.mean() - grand) ** 2 for row in values) / (seeds - 1)
    of_cases = seeds * sum((column.mean() - grand) ** 2 for column in values.T) / (cases - 1)
    rest = sum(
        (values[seed, case] - values[seed].mean() - values[:, case].mean() + grand) ** 2
        for seed in range(seeds)
        for case in range(cases)
    )
    return of_seeds, of_cases, rest / (seeds - 1) / (cases - 1)


def test_the_variance_and_its_degrees_of_freedom_are_those_of_a_two_way_analysis() -> None:
    """Searle, Casella and McCulloch (1992), two crossed random effects: Var = (MS seeds + MS cases - MS rest) / all."""
    parts, (of_seeds, of_cases, rest) = mean_parts(VALUES), mean_squares(VALUES)
    total = of_seeds + of_cases - rest
    assert of_seeds > rest
    assert parts.variance == pytest.approx(total / 36)
    assert parts.freedom == pytest.approx(total**2 / (of_seeds**2 / 3 + of_cases**2 / 8 + rest**2 / 24))


def test_seeds_that_agree_leave_the_spread_over_cases() -> None:
    alike = np.tile(VALUES[0], (3, 1))
    parts = mean_parts(alike)
    assert parts.error == pytest.approx(stats.sem(VALUES[0]))
    assert parts.freedom == pytest.approx(8)
    assert t_test(parts) == pytest.approx(stats.ttest_1samp(VALUES[0], 0).pvalue)


def test_cases_that_agree_leave_the_spread_over_seeds() -> None:
    seeds = np.array([0.3, 0.5, 0.4, 0.9])
    parts = mean_parts(np.tile(seeds[:, None], (1, 9)))
    assert parts.freedom == pytest.approx(3)
    expected = stats.t.interval(0.95, 3, seeds.mean(), stats.sem(seeds))
    assert mean_interval(parts)[1:3] == pytest.approx(expected, abs=1e-5)
    assert t_test(parts) == pytest.approx(stats.ttest_1samp(seeds, 0).pvalue)


def test_seeds_that_differ_less_than_their_cases_do_add_nothing() -> None:
    values = np.tile(VALUES[0], (3, 1)) + np.array([[1, -1, 0], [-1, 0, 1], [0, 1, -1]]).repeat(3, 1)
    parts = mean_parts(values)
    assert parts.over_seeds < parts.residual
    assert parts.variance == parts.over_cases
    assert parts.freedom == pytest.approx(8)


def test_two_seeds_say_nothing_of_others() -> None:
    parts = mean_parts(VALUES[:2])
    assert parts.over_seeds == 0
    assert parts.error == pytest.approx(stats.sem(VALUES[:2].mean(0)))


def test_p_weighs_the_tails_of_seeds_and_of_cases() -> None:
    parts, (of_seeds, of_cases, rest) = mean_parts(VALUES), mean_squares(VALUES)
    variance = of_seeds + of_cases - rest
    assert variance > max(of_seeds, of_cases)
    t, weight = VALUES.mean() / np.sqrt(variance / 36), of_seeds / variance
    assert t_test(parts) == pytest.approx(2 * (weight * stats.t.sf(t, 3) + (1 - weight) * stats.t.sf(t, 8)))


def test_the_parts_of_an_auc_are_delong_s_with_the_spread_of_the_seeds() -> None:
    generator, positive = np.random.default_rng(1), np.arange(20) < 8
    components = auc_components(generator.normal(size=(3, 20)) + positive, positive)
    aucs = components[:, positive].mean(1)
    classes = [components[:, members] for members in (positive, ~positive)]
    parts = auc_parts(components, positive)
    assert parts.value == pytest.approx(aucs.mean())
    assert parts.over_cases == pytest.approx(sum(one.mean(0).var(ddof=1) / one.shape[1] for one in classes))
    assert parts.over_seeds == pytest.approx(aucs.var(ddof=1) / 3)
    rest = [one - one.mean(0) for one in classes]
    alone = [one[seed].var(ddof=1) / one.shape[1] for one in rest for seed in range(3)]
    assert parts.residual == pytest.approx(sum(alone) / (3 - 1) / 3)


def test_nothing_differs_where_nothing_does() -> None:
    assert t_test(mean_parts(np.zeros((2, 3, 12)))).tolist() == [1, 1]


@pytest.mark.parametrize("all_of_it", ["cases", "seeds"])
def test_where_one_thing_is_all_of_the_variance_its_degrees_of_freedom_decide(all_of_it: str) -> None:
    """Every share of the variance from nothing to all: at the ends the critical value is that of one t."""
    generator = np.random.default_rng(0)
    for level, cases in ((0.05, 12), (0.05 / 12, 24), (0.05 / 300, 80)):
        size = (1, cases) if all_of_it == "cases" else (3, 1)
        parts = mean_parts(np.broadcast_to(generator.normal(size=size), (3, cases)).copy())
        freedom = cases - 1 if all_of_it == "cases" else 2
        found = detectable_difference(parts, level)
        power = stats.nct.sf(stats.t.ppf(1 - level / 2, freedom), freedom, found / float(parts.error))
        assert power == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_the_detectable_difference_of_methods_is_found_in_about_four_of_five_draws(spread: float) -> None:
    """Given the true variances: twelve seeds and forty cases, of which each draw estimates its own."""
    generator, shape = np.random.default_rng(0), (2_000, 12, 40)
    by_seed, by_case, noise = (spread * 12**0.5 / 40**0.5, 1.0, 0.5)
    values = by_seed * generator.normal(size=(2_000, 12, 1)) + by_case * generator.normal(size=(2_000, 1, 40))
    values = values + noise * generator.normal(size=shape)
    residual = np.array(noise**2 / 480)
    true = Parts(np.array(0.0), 1 / 40 + residual, by_seed**2 / 12 + residual, residual, 39, 11, np.array(0.0))
    found = t_test(mean_parts(values + detectable_difference(true, 0.01))) < 0.01
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("seeds", SEEDS)
def test_the_interval_of_a_difference_covers_the_truth_of_all_seeds(seeds: int, spread: float) -> None:
    assert 0.93 <= coverage("difference", 4_000, seeds, 16, spread, 0.3) <= 0.97


@pytest.mark.parametrize("seeds", SEEDS)
def test_corrected_tests_of_equal_methods_find_nothing(seeds: int) -> None:
    assert max(false_positives(400, 6, seeds, 16, 2.0, 0.3)) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.3, 1.0], ids="noise {}".format)
@pytest.mark.parametrize("spread", SPREADS, ids="seed spread {} errors".format)
@pytest.mark.parametrize("cases", [12, 16, 40, 80])
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_the_truth_of_all_seeds(kind: str, seeds: int, cases: int, spread: float, noise: float) -> None:
    assert 0.93 <= coverage(kind, 10_000, seeds, cases, spread, noise) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.3, 1.0], ids="noise {}".format)
@pytest.mark.parametrize("spread", [0.0, 1.0, 2.0], ids="seed spread {} errors".format)
@pytest.mark.parametrize("cases", [12, 40])
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("count", [6, 13])
def test_corrected_tests_of_equal_methods_find_nothing_in_many_draws(
    count: int, seeds: int, cases: int, spread: float, noise: float
) -> None:
    assert max(false_positives(1_000, count, seeds, cases, spread, noise)) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 1.0, 2.0], ids="seed spread {} errors".format)
@pytest.mark.parametrize("share", [0.5, 0.3])
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("truth", [0.6, 0.75, 0.85])
def test_aucs_of_equal_methods(truth: float, seeds: int, share: float, spread: float) -> None:
    """Wider bounds than those of DSC: with three seeds that differ much, DeLong's variance is a poorer guide."""
    own, difference, false = auc_coverage(4_000, truth, seeds, share, spread)
    assert 0.92 <= min(own, difference) <= max(own, difference) <= 0.98
    assert false <= 0.05


def test_equal_rows_are_equal() -> None:
    """What the simulations call equal has one mean, and the spread of seeds that is asked for."""
    values = rows(np.random.default_rng(0), (4_000, 2, 3, 16), 2.0, 0.0)
    assert values.mean((0, 2, 3))[0] == pytest.approx(values.mean((0, 2, 3))[1], abs=3e-4)
    by_seed = (values - values[:, :, :1]).mean(3)[:, :, 1:].std()
    assert by_seed == pytest.approx(2**0.5 * 2 * 0.032 / 4, rel=0.03)
