"""Scores over several classes and mean errors: intervals that cover, and contributions whose mean is the score."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from ssl_bench.report.class_statistics import balanced_contributions, macro_auc_contributions, share_interval
from ssl_bench.report.statistics import Array, auc_components, auc_interval, auc_parts, mean_interval, mean_parts

FIVE = np.array([0.4, 0.25, 0.15, 0.1, 0.1])


def drawn(generator: np.random.Generator, shape: tuple[int, ...], truth: np.ndarray, shift: float) -> Array:
    """Probabilities (..., cases, classes) of networks that know the class by `shift` standard deviations."""
    logits = generator.normal(size=(*shape, len(truth), 5))
    logits[..., np.arange(len(truth)), truth] += shift
    return special.softmax(2 * logits, axis=-1)


def test_the_mean_contribution_is_scikit_learns_score() -> None:
    truth = np.arange(23) % 5
    probabilities = drawn(np.random.default_rng(0), (2, 3), truth, 1)
    found = macro_auc_contributions(probabilities, truth).mean(-1)
    expected = [[roc_auc_score(truth, one, multi_class="ovr") for one in row] for row in probabilities]
    assert found == pytest.approx(np.array(expected))
    hits = (probabilities.argmax(-1) == truth).astype(float)
    balanced = [[balanced_accuracy_score(truth, one.argmax(-1)) for one in row] for row in probabilities]
    assert balanced_contributions(hits, truth).mean(-1) == pytest.approx(np.array(balanced))


def test_of_two_classes_the_spread_is_delongs() -> None:
    truth = np.arange(30) % 3 // 2
    positive = np.random.default_rng(1).random(30) + 0.3 * truth
    contributions = macro_auc_contributions(np.stack([1 - positive, positive], axis=-1)[None], truth)
    expected = auc_parts(auc_components(positive[None], truth == 1), truth == 1)
    assert mean_parts(contributions).value == pytest.approx(float(expected.value))
    assert mean_parts(contributions).error == pytest.approx(float(expected.error), rel=0.02)


def test_without_two_cases_of_a_class_nothing_is_said() -> None:
    truth = np.array([0, 0, 1, 1, 2])
    assert np.isnan(macro_auc_contributions(np.full((5, 3), 1 / 3), truth)).all()
    assert np.isnan(balanced_contributions(np.ones(5), truth)).all()


def test_a_share_has_wilsons_interval_also_where_every_case_is_right() -> None:
    parts = mean_parts(np.array([[[1.0] * 40]]))
    found = share_interval(parts, 40)
    square = special.stdtrit(39, 0.975) ** 2
    assert found.low == pytest.approx(40 / (40 + square))
    assert found.high == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("cases", [40, 100])
@pytest.mark.parametrize("shift", [0.3, 1.0])
def test_the_interval_of_a_macro_auc_covers(cases: int, shift: float) -> None:
    """Classes of 40 to 10 % of the cases, of each at least two; the true value is that of 200,000 cases."""
    generator = np.random.default_rng(0)
    truth = generator.choice(5, 200_000, p=FIVE)
    known = drawn(generator, (), truth, shift)
    true = np.mean([auc_components(known[:, k], truth == k)[truth == k].mean() for k in range(5)])
    found, draws = 0, 500
    for _ in range(draws):
        truth = generator.choice(5, cases, p=FIVE)
        while np.bincount(truth, minlength=5).min() < 2:
            truth = generator.choice(5, cases, p=FIVE)
        interval = auc_interval(mean_parts(macro_auc_contributions(drawn(generator, (1,), truth, shift), truth)))
        found += bool(interval.low <= true <= interval.high)
    assert 0.93 <= found / draws <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("cases", [40, 100])
@pytest.mark.parametrize("accuracy", [0.5, 0.7, 0.85, 0.95])
def test_the_interval_of_an_accuracy_covers(cases: int, accuracy: float) -> None:
    hits = (np.random.default_rng(0).random((10_000, 1, cases)) < accuracy).astype(float)
    found = share_interval(mean_parts(hits), cases)
    assert 0.93 <= np.mean((found.low <= accuracy) & (accuracy <= found.high)) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("cases", [40, 100])
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("errors", ["normal", "heavier tails"])
def test_the_interval_of_a_mean_absolute_error_covers(cases: int, seeds: int, errors: str) -> None:
    """A seed moves every prediction of it by a tenth of the errors' deviation."""
    generator = np.random.default_rng(0)
    draw = generator.normal if errors == "normal" else generator.laplace
    own, of_seed = draw(size=(5_000, 1, cases)), 0.1 * generator.normal(size=(5_000, seeds, 1)) * (seeds > 1)
    expected = np.abs(draw(size=(1_000_000,)) + 0.1 * generator.normal(size=1_000_000) * (seeds > 1)).mean()
    found = mean_interval(mean_parts(np.abs(own + of_seed)))
    assert 0.93 <= np.mean((found.low <= expected) & (expected <= found.high)) <= 0.97
