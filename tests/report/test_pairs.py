"""Pairs of subjects: what shares a subject is not independent, and intervals know it."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_bench.protocols.geometry.pairs import pairs_of
from ssl_bench.report import statistics
from ssl_bench.report.pairs import PairVariance, Places, pair_parts
from ssl_bench.report.statistics import Array
from ssl_bench.report.units import Units, by_subject, parts_of


@pytest.mark.parametrize(("of_subject", "of_pair"), [(1.0, 0.2), (1.0, 1.0)])
def test_the_variance_is_that_of_new_subjects(of_subject: float, of_pair: float) -> None:
    """Against how much the means of 4,000 draws of subjects differ; pairs lack one at random, as after failures."""
    subjects, partners = np.delete(np.array(pairs_of(10, 2)), [3, 11], axis=0).T
    values = drawn(np.random.default_rng(0), 4000, subjects, partners, of_subject, of_pair)
    estimated = PairVariance(subjects, partners).of_mean(values).mean()
    assert estimated == pytest.approx(values.mean(-1).var(), rel=0.08)
    # Of pairs that are taken for independent, less than half of it.
    assert values.var(-1, ddof=1).mean() / len(subjects) < 0.6 * estimated


@pytest.mark.filterwarnings("error")
def test_of_a_single_pair_nothing_is_said_and_nobody_is_warned() -> None:
    parts = pair_parts(np.full((3, 1), 0.5), np.array([0]), np.array([1]))
    assert float(parts.value) == 0.5
    assert np.isnan(parts.error)


def test_of_three_subjects_nothing_is_said() -> None:
    subjects, partners = np.array(pairs_of(3, 2)).T
    assert np.isnan(PairVariance(subjects, partners).of_mean(np.array([1.0, 2.0, 4.0])))


def drawn(
    generator: np.random.Generator, draws: int, subjects: Places, partners: Places, of_subject: float, of_pair: float
) -> Array:
    effects = of_subject * generator.normal(size=(draws, int(max(subjects.max(), partners.max())) + 1))
    return effects[:, subjects] + effects[:, partners] + of_pair * generator.normal(size=(draws, len(subjects)))


@pytest.mark.parametrize("count", [8, 24])
@pytest.mark.parametrize(("of_subject", "of_pair"), [(1.0, 0.2), (1.0, 1.0), (0.3, 1.0)])
def test_intervals_cover_what_they_say(count: int, of_subject: float, of_pair: float) -> None:
    """The truth is that of new subjects: 93 to 97 of 100 intervals hold it; those of independent pairs would not."""
    generator = np.random.default_rng(count)
    subjects, partners = np.array(pairs_of(count, 2)).T
    values = drawn(generator, 4000, subjects, partners, of_subject, of_pair)
    covered = {}
    for name, parts in (
        ("pairs", pair_parts(values[:, None], subjects, partners)),
        ("independent", statistics.mean_parts(values[:, None])),
    ):
        interval = statistics.mean_interval(parts)
        covered[name] = float(((interval.low <= 0) & (interval.high >= 0)).mean())
    assert 0.93 <= covered["pairs"] <= 0.97, covered
    assert of_subject < 1 or covered["independent"] < 0.9


def test_units_of_pairs_count_subjects_and_hand_over_to_them() -> None:
    subjects, partners = np.array(pairs_of(6, 2)).T
    units = Units(subjects, np.zeros(12, dtype=np.intp), partners)
    values = np.random.default_rng(0).normal(size=(2, 1, 12))
    assert (units.count, units.repeated) == (6, True)
    expected = PairVariance(subjects, partners).of_mean(values[:, 0])
    np.testing.assert_allclose(parts_of(values, None, units).over_cases, expected)
    by, _, alone = by_subject(values, None, units)
    assert by.shape == (2, 1, 6)
    np.testing.assert_allclose(by.mean(-1), values.mean(-1))
    assert alone.partners is None
    kept = np.arange(12) != 3
    assert units.of(kept).partners is not None
    assert len(units.of(kept).subjects) == 11
