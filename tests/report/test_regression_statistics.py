"""Pearson's r and R² with intervals: contributions whose mean is the score, and intervals that cover."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from ssl_bench.report import units
from ssl_bench.report.regression_statistics import OF_NUMBERS
from ssl_bench.report.statistics import Array, Interval
from ssl_bench.report.units import Units

NAMES = tuple(OF_NUMBERS)
REFERENCES: dict[str, Callable[[Array, Array], float]] = {
    "Pearson r": lambda predictions, targets: float(stats.pearsonr(predictions, targets).statistic),
    "R²": lambda predictions, targets: float(r2_score(targets, predictions)),
}
TRANSFORMS: dict[str, Callable[[float], float]] = {
    "Pearson r": lambda r: float(np.arctanh(r)),
    "R²": lambda r_squared: float(np.log(1 - r_squared)),
}


def ages(generator: np.random.Generator, shape: tuple[int, ...], cases: int) -> tuple[Array, Array]:
    """Predictions (*shape, cases) that know the targets (cases,) somewhat, and shrink them."""
    targets = generator.uniform(20, 80, cases)
    return 50 + 0.6 * (targets - 50) + generator.normal(0, 12, (*shape, cases)), targets


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_contribution_is_scipys_and_scikit_learns_score(name: str) -> None:
    predictions, targets = ages(np.random.default_rng(0), (2, 3), 17)
    found = OF_NUMBERS[name].contributions(predictions, targets, np.arange(17)).mean(-1)
    assert found == pytest.approx(np.array([[REFERENCES[name](one, targets) for one in row] for row in predictions]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scans", [1, 3])
def test_the_interval_is_the_jackknifes_on_the_scale_of_the_transform(name: str, scans: int) -> None:
    """By leaving out subject after subject, with the references and the textbook's formula."""
    predictions, targets = ages(np.random.default_rng(1), (), 8 * scans)
    subjects = np.arange(8 * scans) % 8
    score, transform = REFERENCES[name], TRANSFORMS[name]
    whole = transform(score(predictions, targets))
    others = [subjects != one for one in range(8)]
    without = np.array([transform(score(predictions[rest], targets[rest])) for rest in others])
    error = np.sqrt(7 / 8 * ((without - without.mean()) ** 2).sum())
    ends = sorted(whole + side * stats.t.ppf(0.975, 7) * error for side in (-1, 1))
    found = interval_of(name, predictions, targets, Units(subjects, np.zeros(8 * scans, dtype=np.intp)))
    assert sorted(transform(float(end[0])) for end in (found.low, found.high)) == pytest.approx(ends)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("name", NAMES)
def test_perfect_constant_or_too_few_predictions_have_no_interval(name: str) -> None:
    targets, ten = np.arange(10.0), np.arange(10)
    contributions = OF_NUMBERS[name].contributions
    assert np.isnan(contributions(targets[None], targets, ten)).all()
    assert np.isnan(contributions(np.array([[1.0, 3.0]]), np.array([1.0, 2.0]), ten[:2])).all()
    assert np.isnan(contributions(targets[None], np.ones(10), ten)).all()
    assert np.isnan(contributions(targets[None] + 1, targets, ten % 1)).all(), "a single subject"
    if name == "Pearson r":
        assert np.isnan(contributions(np.ones((1, 10)), targets, ten)).all()


def interval_of(name: str, predictions: Array, targets: Array, grouped: Units) -> Interval:
    """Of one row and one seed (cases,)."""
    row = predictions[None, None]
    values = units.of_each_fold(
        lambda at: OF_NUMBERS[name].contributions(row[..., at], targets[at], grouped.subjects[at]), grouped
    )
    return OF_NUMBERS[name].interval(units.parts_of(values, None, grouped))


def coverage(name: str, predictions: Array, targets: Array, true: float, grouped: Units) -> float:
    """The share of the draws (draws, cases) in whose interval the `true` score lies."""
    found = [interval_of(name, *draw, grouped) for draw in zip(predictions, targets, strict=True)]
    return float(np.mean([interval.low[0] <= true <= interval.high[0] for interval in found]))


def drawn(shape: tuple[int, int], errors: str, seed: int) -> tuple[Array, Array]:
    """Predictions and targets (draws, cases): ages of any distribution, errors that are normal or have heavy tails."""
    generator = np.random.default_rng(seed)
    targets = generator.uniform(-1, 1, shape) * np.sqrt(3) if errors == "even ages" else generator.normal(size=shape)
    heavy = errors == "heavy tails"
    noise = generator.laplace(0, np.sqrt(0.5), shape) if heavy else generator.normal(size=shape)
    return 0.36 * targets + 0.48 * noise, targets


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("errors", ["normal", "even ages", "heavy tails"])
@pytest.mark.parametrize("cases", [40, 100])
def test_the_interval_covers(name: str, errors: str, cases: int) -> None:
    """The truth, r of 0.6 and R² of 0.36, is that of a million cases."""
    many = drawn((1, 1_000_000), errors, 1)
    true = REFERENCES[name](many[0][0], many[1][0])
    assert 0.93 <= coverage(name, *drawn((2000, cases), errors, 0), true, Units.single(cases)) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_interval_covers_where_subjects_have_two_scans(name: str) -> None:
    """Of forty subjects; scans of one have the target and half of the error's variance in common."""
    generator = np.random.default_rng(0)
    own = [np.repeat(generator.normal(size=(2000, 40)), 2, -1) for _ in range(2)]
    predictions = 0.36 * own[0] + 0.48 * (own[1] + generator.normal(size=(2000, 80))) / np.sqrt(2)
    true = {"Pearson r": 0.6, "R²": 0.36}[name]
    grouped = Units(np.arange(80) // 2, np.zeros(80, dtype=np.intp))
    assert 0.93 <= coverage(name, predictions, own[0], true, grouped) <= 0.97
