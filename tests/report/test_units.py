"""Statistics over subjects and folds are those of formulas by hand, and today's where cases stand alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from ssl_bench.report.statistics import auc_components, auc_parts, mean_interval, mean_parts, t_test
from ssl_bench.report.units import Units, by_subject, components, for_tests, parts_of, score_of, subject_sums

GENERATOR = np.random.default_rng(0)
SUBJECTS = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 5])
"""Ten cases of six subjects, one to three of each."""
ONE_FOLD = Units(SUBJECTS, np.zeros(10, dtype=np.intp))
FOLDS = np.arange(30) % 5
VALUES = GENERATOR.normal(size=(2, 3, 30)) + 2 * GENERATOR.normal(size=(2, 3, 5))[..., FOLDS]
"""Two rows of three seeds, in which networks of five folds differ much."""


def folds(cases: int = 30, count: int = 5) -> Units:
    return Units(np.arange(cases), np.arange(cases) % count)


def test_cases_that_stand_alone_are_what_they_always_were() -> None:
    alone, positive = Units.single(30), np.arange(30) < 12
    values = auc_components(VALUES, positive)
    for found, expected in (
        (parts_of(VALUES, None, alone), mean_parts(VALUES)),
        (parts_of(values, positive, alone), auc_parts(values, positive)),
    ):
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    assert subject_sums(VALUES, alone) is VALUES


def test_the_mean_over_subjects_is_the_mean_over_cases() -> None:
    values = GENERATOR.normal(size=(3, 10))
    found, _, units = by_subject(values, None, ONE_FOLD)
    assert found.mean(1) == pytest.approx(values.mean(1))
    assert subject_sums(values, ONE_FOLD).mean(1) == pytest.approx(values.mean(1))
    assert not units.repeated
    assert units.count == 6


def test_the_variance_over_subjects_is_that_of_clusters() -> None:
    """The ratio estimator's (Cochran 1977, section 9A): subjects' sums of residuals, squared."""
    values = GENERATOR.normal(size=(1, 10)) + np.arange(6)[SUBJECTS]
    sums = [sum(values[0, case] - values.mean() for case in np.flatnonzero(s == SUBJECTS)) for s in range(6)]
    assert parts_of(values, None, ONE_FOLD).over_cases == pytest.approx(6 / 5 * sum(s**2 for s in sums) / 10**2)


def test_subjects_with_as_many_scans_each_are_averaged() -> None:
    values, pairs = GENERATOR.normal(size=(3, 24)), Units(np.arange(24) // 2, np.zeros(24, dtype=np.intp))
    averaged = mean_parts(values.reshape(3, 12, 2).mean(2))
    found = parts_of(values, None, pairs)
    assert all(np.allclose(one, other) for one, other in zip(found, averaged, strict=True))
    assert mean_interval(found).error == pytest.approx(mean_interval(averaged).error)


def test_the_variance_of_a_clustered_auc_is_obuchowskis() -> None:
    """Biometrics 1997, 53:567, equation by equation with loops; subjects have cases of one class or of both."""
    positive = np.array([True, True, False, True, False, False, False, True, False, True])
    scores = GENERATOR.normal(size=10) + positive
    x, y = np.flatnonzero(positive), np.flatnonzero(~positive)
    auc = roc_auc_score(positive, scores)
    of_x = {i: np.mean([(scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]) for j in y]) for i in x}
    of_y = {j: np.mean([(scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]) for i in x]) for j in y}
    clusters, m, n = 6, len(x), len(y)
    dx = [sum(of_x[i] - auc for i in x if SUBJECTS[i] == s) for s in range(clusters)]
    dy = [sum(of_y[j] - auc for j in y if SUBJECTS[j] == s) for s in range(clusters)]
    s10, s01, s11 = (
        clusters / ((clusters - 1) * k) * sum(a * b for a, b in zip(one, other, strict=True))
        for one, other, k in ((dx, dx, m), (dy, dy, n), (dx, dy, m))
    )
    expected = s10 / m + s01 / n + 2 * s11 / n
    found = parts_of(components(scores[None], positive, ONE_FOLD), positive, ONE_FOLD)
    assert found.value == pytest.approx(auc)
    assert found.over_cases == pytest.approx(expected)


def test_networks_that_differ_are_counted_as_few() -> None:
    """Cases in folds of equal size, one seed: the t interval over the folds' means."""
    values = VALUES[:1, :1]
    means = np.array([values[0, 0, fold == FOLDS].mean() for fold in range(5)])
    found = mean_interval(parts_of(values, None, folds())._replace(skewness=np.zeros(1)))
    expected = stats.t.interval(0.95, 4, means.mean(), stats.sem(means))
    assert np.ravel(found[1:3]) == pytest.approx(expected, abs=1e-5)
    assert t_test(parts_of(values, None, folds())) == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


def test_networks_that_differ_no_more_than_their_cases_do_leave_the_spread_within_folds() -> None:
    values = GENERATOR.normal(size=(1, 1, 30))
    for fold in range(5):
        values[..., fold == FOLDS] -= values[..., fold == FOLDS].mean()
    parts = parts_of(values, None, folds())
    within = sum(values[0, 0, fold == FOLDS].var() * 6 for fold in range(5)) / 25
    assert parts.variance == pytest.approx(within / 30)
    assert parts.freedom == pytest.approx(25)


def test_with_one_seed_a_test_trusts_no_more_than_its_networks() -> None:
    values = GENERATOR.normal(size=(1, 1, 30)) + 0.5
    units = folds()
    parts = parts_of(values, None, units)
    assert for_tests(parts, units, 1).case_freedom == 4
    assert for_tests(parts, units, 3) is parts
    assert for_tests(parts, Units.single(30), 1) is parts


def test_seeds_cross_folds_as_two_random_effects() -> None:
    """Searle, Casella and McCulloch (1992) on the table of seeds by folds: all of it where the networks differ."""
    table = np.stack([[VALUES[0, s, f == FOLDS].mean() for f in range(5)] for s in range(3)])
    grand = table.mean()
    of_seeds = 5 * ((table.mean(1) - grand) ** 2).sum() / 2
    of_folds = 3 * ((table.mean(0) - grand) ** 2).sum() / 4
    rest = ((table - table.mean(0) - table.mean(1)[:, None] + grand) ** 2).sum() / 8
    parts = parts_of(VALUES[0], None, folds())
    assert (parts.over_cases, parts.over_seeds, parts.residual) == pytest.approx(
        (of_folds / 15, of_seeds / 15, rest / 15)
    )


def test_the_auc_of_pooled_folds_is_the_mean_of_the_folds_own_weighted_by_their_cases() -> None:
    units = Units(np.arange(30), np.repeat([0, 1], [12, 18]))
    positive = GENERATOR.random(30) < 0.5
    scores = GENERATOR.normal(size=30) + positive + 5 * units.folds
    own = [roc_auc_score(positive[units.folds == f], scores[units.folds == f]) for f in (0, 1)]
    values = components(scores[None], positive, units)
    assert score_of(values, positive, units) == pytest.approx(0.4 * own[0] + 0.6 * own[1])
    assert parts_of(values, positive, units).value == pytest.approx(0.4 * own[0] + 0.6 * own[1])
    assert score_of(values, positive, units) != pytest.approx(roc_auc_score(positive, scores), abs=0.05)


def test_uneven_folds_of_subjects_keep_the_mean_over_cases() -> None:
    units = Units(SUBJECTS, (SUBJECTS > 1).astype(np.intp))
    values = GENERATOR.normal(size=(2, 3, 10))
    assert parts_of(values, None, units).value == pytest.approx(values.mean((1, 2)))


def test_a_fold_of_one_case_each_is_a_network_of_its_own() -> None:
    values = GENERATOR.normal(size=(1, 1, 6))
    parts = parts_of(values, None, folds(6, 6))
    assert parts.variance == pytest.approx(values.var(ddof=1) / 6)
    assert parts.freedom == pytest.approx(5)
