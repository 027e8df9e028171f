"""Intervals cover, tests do not cry wolf, and every routine agrees with a formula or with scipy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ssl_bench.report import statistics
from ssl_bench.report.statistics import (
    Interval,
    auc_components,
    auc_interval,
    auc_parts,
    detectable_difference,
    holm,
    mean_interval,
    mean_parts,
    rank_intervals,
    sign_flip_p,
    smallest_p,
    t_test,
)
from tests.report.simulated import SKEWED, beta

Array = NDArray[np.float64]


def of_networks(values: Array) -> Interval:
    """The mean over the cases of `values` (..., cases), as of one seed."""
    return mean_interval(mean_parts(values[..., None, :]))


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0], ids="seed spread {} errors".format)
@pytest.mark.parametrize("cases", [16, 40])
@pytest.mark.parametrize("kind", SKEWED)
def test_the_interval_of_a_mean_covers_the_truth_of_its_seeds(kind: str, cases: int, spread: float) -> None:
    generator, (mean, deviation) = np.random.default_rng(0), SKEWED[kind]
    seeds = spread * deviation / cases**0.5 * generator.normal(size=(10_000, 3, 1))
    noise = 0.3 * deviation * generator.normal(size=(10_000, 3, cases))
    scores = beta(generator, mean, deviation, (10_000, 1, cases)) + seeds + noise
    estimate, truth = of_networks(scores.mean(1)), mean + seeds.mean((1, 2))
    assert 0.93 <= np.mean((estimate.low <= truth) & (truth <= estimate.high)) <= 0.97


def test_hall_s_transformation_takes_both_bounds_to_student_s_quantiles() -> None:
    values = np.array([0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.55, 0.8])
    estimate, cases = of_networks(values), len(values)
    skewness = stats.skew(values)
    for bound, quantile in ((estimate.low, 0.975), (estimate.high, 0.025)):
        t = (values.mean() - bound) / values.std(ddof=1)
        hall = t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / (6 * cases)
        assert hall * cases**0.5 == pytest.approx(stats.t.ppf(quantile, cases - 1))


def test_without_skewness_the_interval_is_student_s() -> None:
    values = np.array([0.1, 0.3, 0.4, 0.6, 0.7, 0.9])
    expected = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert of_networks(values)[1:3] == pytest.approx(expected, abs=1e-6)


def test_one_outlier_does_not_stretch_the_interval_beyond_use() -> None:
    values = np.array([0.05] * 11 + [0.6]) + np.linspace(0, 0.01, 12)
    estimate, student = of_networks(values), stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert estimate.high - estimate.low <= 1.3 * (student[1] - student[0])


@pytest.mark.parametrize("values", [[0.3], [0.3, 0.3, 0.3], [0.1] * 7])
def test_cases_without_spread_have_no_interval(values: list[float]) -> None:
    estimate = of_networks(np.array(values))
    assert estimate.value == pytest.approx(values[0])
    assert np.isnan([estimate.low, estimate.high, estimate.error]).all()


def direct_components(probabilities: Array, positive: NDArray[np.bool_]) -> Array:
    """By the definition: every case against every case of the other class."""
    kernel = np.sign(probabilities[:, None] - probabilities[None, :]) / 2 + 0.5
    return np.array([
        kernel[case, ~positive].mean() if positive[case] else kernel[positive, case].mean()
        for case in range(len(positive))
    ])  # fmt: skip


def test_components_follow_delong_s_definition_ties_included() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.integers(0, 8, (3, 20)) / 8
    positive = generator.random(20) < 0.4
    expected = [direct_components(row, positive) for row in probabilities]
    assert auc_components(probabilities, positive) == pytest.approx(np.array(expected))


def test_delong_by_hand() -> None:
    """Positive 3, 1 and negative 2, 0: components 1, 1/2 and 1/2, 1, each of variance 1/8; AUC 3/4."""
    positive = np.array([True, True, False, False])
    components = auc_components(np.array([3.0, 1.0, 2.0, 0.0]), positive)
    assert components.tolist() == [1, 0.5, 0.5, 1]
    estimate = auc_interval(auc_parts(components[None], positive))
    assert estimate.value == 0.75
    assert estimate.error == pytest.approx((0.125 / 2 + 0.125 / 2) ** 0.5)
    on_logit_scale = np.log(3) + stats.t.ppf([0.025, 0.975], 2) * estimate.error / (0.75 * 0.25)
    assert [estimate.low, estimate.high] == pytest.approx(1 / (1 + np.exp(-on_logit_scale)))


def test_paired_delong_agrees_with_the_covariance_formula() -> None:
    generator = np.random.default_rng(1)
    positive = np.arange(30) < 12
    first, second = generator.normal(size=(2, 30)) + np.array([[1.5], [0.7]]) * positive
    both = [direct_components(scores, positive) for scores in (first, second)]
    of_positive, of_negative = (np.cov(np.stack(both)[:, members]) for members in (positive, ~positive))
    covariance = of_positive / 12 + of_negative / 18
    error = (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) ** 0.5
    value = both[0][positive].mean() - both[1][positive].mean()
    parts = auc_parts((auc_components(first, positive) - auc_components(second, positive))[None], positive)
    estimate = mean_interval(parts)
    assert (estimate.value, estimate.error) == pytest.approx((value, error))
    assert t_test(parts) == pytest.approx(2 * stats.t.sf(abs(value) / error, 28))
    assert estimate.high - estimate.value == pytest.approx(stats.t.ppf(0.975, 28) * error)


@pytest.mark.parametrize("truth", [0.6, 0.75, 0.85, 0.95])
@pytest.mark.parametrize("share", [0.5, 0.3])
def test_the_interval_of_an_auc_covers_at_sixty_cases(truth: float, share: float) -> None:
    generator, positive = np.random.default_rng(0), np.arange(60) < 60 * share
    scores = generator.normal(size=(8_000, 60)) + 2**0.5 * stats.norm.ppf(truth) * positive
    estimate = auc_interval(auc_parts(auc_components(scores, positive)[:, None], positive))
    assert 0.93 <= np.mean((estimate.low <= truth) & (truth <= estimate.high)) <= 0.97


@pytest.mark.parametrize("labels", [[True, True, True], [False, False, False], [True, False, False]])
def test_an_auc_of_too_few_cases_of_a_class_has_no_interval(labels: list[bool]) -> None:
    positive = np.array(labels)
    estimate = auc_interval(auc_parts(auc_components(np.array([[0.3, 0.2, 0.1]]), positive), positive))
    assert np.isnan([estimate.low, estimate.high]).all()


def test_a_perfect_auc_has_no_interval() -> None:
    positive = np.arange(10) < 5
    estimate = auc_interval(auc_parts(auc_components(-np.arange(10.0)[None], positive), positive))
    assert estimate.value == 1
    assert np.isnan([estimate.low, estimate.high]).all()


def test_equal_aucs_of_equal_predictions_do_not_differ() -> None:
    positive = np.arange(10) < 5
    parts = auc_parts(np.zeros((1, 10)), positive)
    assert parts.value == 0
    assert t_test(parts) == 1
    assert np.isnan(mean_interval(parts).low)


@pytest.mark.parametrize("cases", [1, 2, 7, 12])
def test_exact_sign_flips_agree_with_scipy(cases: int) -> None:
    differences = np.random.default_rng(0).normal(0.4, 1, (5, cases)).round(1)
    expected = [
        stats.permutation_test((row,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
        if cases > 1
        else 1.0
        for row in differences
    ]
    assert sign_flip_p(differences, np.random.default_rng(0)) == pytest.approx(expected)


def test_drawn_sign_flips_come_near_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, (100, 21))
    drawn = sign_flip_p(differences, np.random.default_rng(0))
    monkeypatch.setattr(statistics, "EXACT_UP_TO", 21)
    # Four standard deviations of a share among 10,000.
    assert drawn == pytest.approx(sign_flip_p(differences, np.random.default_rng(0)), abs=0.02)


@pytest.mark.parametrize("cases", [12, 40])
def test_no_difference_anywhere_is_no_evidence(cases: int) -> None:
    assert sign_flip_p(np.zeros((1, cases)), np.random.default_rng(0)) == [1.0]


@pytest.mark.parametrize("cases", [5, 12, 40])
def test_the_smallest_p_is_that_of_differences_of_one_sign(cases: int) -> None:
    assert sign_flip_p(np.ones((1, cases)), np.random.default_rng(0)) == pytest.approx([smallest_p(cases)])


def test_the_same_generator_gives_the_same_p() -> None:
    differences = np.random.default_rng(0).normal(0.1, 1, (3, 40))
    first, second = (sign_flip_p(differences, np.random.default_rng(7)) for _ in range(2))
    assert first.tolist() == second.tolist()


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_an_undefined_p_belongs_to_no_family() -> None:
    assert holm(np.array([0.01, np.nan, 0.04])) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)


def equal_rows(generator: np.random.Generator, rows: int, cases: int) -> Array:
    """Cases are easy or hard for all rows; what a row adds is skewed and the same for every row."""
    return beta(generator, 0.85, 0.08, (1, cases)) + 0.4 * beta(generator, 0.9, 0.08, (rows, cases))


def false_positives(p_of: Callable[[Array], Array], rows: int, cases: int, draws: int) -> tuple[float, float]:
    """How often any of equal rows is told from the first, and any from any, after correction."""
    generator, (first, second) = np.random.default_rng(0), np.triu_indices(rows, 1)
    found = np.zeros((draws, 2))
    for draw in range(draws):
        values = equal_rows(generator, rows, cases)
        p = p_of(values[first] - values[second])
        found[draw] = (holm(p[first == 0]) < 0.05).any(), (holm(p) < 0.05).any()
    return float(found[:, 0].mean()), float(found[:, 1].mean())


def at_most_five_percent(draws: int) -> float:
    """Five per cent, and what so many draws may be off by."""
    return 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / draws)


@pytest.mark.parametrize("cases", [12, 40])
def test_corrected_tests_of_equal_rows_find_nothing(cases: int) -> None:
    generator = np.random.default_rng(1)
    found = false_positives(lambda differences: sign_flip_p(differences, generator), 6, cases, 300)
    assert max(found) <= at_most_five_percent(300)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [6, 13])
@pytest.mark.parametrize("cases", [12, 16, 40])
def test_corrected_tests_of_equal_rows_find_nothing_in_many_draws(cases: int, rows: int) -> None:
    generator = np.random.default_rng(1)
    found = false_positives(lambda differences: sign_flip_p(differences, generator), rows, cases, 4_000)
    assert max(found) <= at_most_five_percent(4_000)


@pytest.mark.parametrize("truth", [0.6, 0.75, 0.9])
def test_corrected_tests_of_equal_aucs_find_nothing(truth: float) -> None:
    generator, positive, (first, second) = np.random.default_rng(0), np.arange(60) < 30, np.triu_indices(6, 1)
    shift = 2**0.5 * stats.norm.ppf(truth) * positive
    scores = generator.normal(size=(2_000, 1, 60)) + generator.normal(size=(2_000, 6, 60)) + 2**0.5 * shift
    components = auc_components(scores, positive)
    p = t_test(auc_parts((components[:, first] - components[:, second])[:, :, None], positive))
    found = [((holm(row[first == 0]) < 0.05).any(), (holm(row) < 0.05).any()) for row in p]
    assert np.mean(found, axis=0).max() <= at_most_five_percent(2_000)


def test_the_detectable_difference_is_found_in_four_of_five_draws() -> None:
    generator, cases, level = np.random.default_rng(0), 16, 0.05 / 5
    values = generator.normal(size=cases)
    parts = mean_parts(((values - values.mean()) / values.std(ddof=1))[None])
    difference = detectable_difference(parts, level)
    p = sign_flip_p(generator.normal(difference, 1, (4_000, cases)), generator)
    assert np.mean(p < level) == pytest.approx(0.8, abs=0.03)
    assert stats.nct.sf(stats.t.ppf(1 - level / 2, 15), 15, difference * 4) == pytest.approx(0.8, abs=1e-4)


def test_ranks_leave_open_what_the_pairs_leave_open() -> None:
    values = np.array([0.9, 0.5, 0.52, 0.1])
    p = np.array(
        [[np.nan, 0.01, 0.01, 0.01], [0.01, np.nan, 0.6, 0.01], [0.01, 0.6, np.nan, 0.2], [0.01, 0.01, 0.2, np.nan]]
    )
    assert rank_intervals(values, p) == [(1, 1), (2, 3), (2, 4), (3, 4)]
