"""Pairs of subjects: what shares a subject is not independent, and intervals know it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ssl_bench.protocols.geometry.pairs import pairs_of
from ssl_bench.report import statistics
from ssl_bench.report.pairs import dyadic_variance, pair_parts
from ssl_bench.report.units import Units, by_subject, parts_of


def test_the_variance_is_the_sum_over_pairs_that_share_a_subject() -> None:
    generator = np.random.default_rng(0)
    pairs = [*pairs_of(7, 2), (1, 0)]
    subjects, partners = np.array(pairs).T
    # So strong that the lower bound, of independent pairs, is not met.
    of_subjects = generator.normal(size=7)
    values = of_subjects[subjects] + of_subjects[partners] + 0.1 * generator.normal(size=len(pairs))
    deviations = values - values.mean()
    shared = sum(
        deviations[a] * deviations[b]
        for a, b in itertools.product(range(len(pairs)), repeat=2)
        if set(pairs[a]) & set(pairs[b])
    )
    assert dyadic_variance(values, subjects, partners) == pytest.approx(shared / len(pairs) ** 2 * 7 / 6)


@pytest.mark.parametrize("count", [8, 24])
@pytest.mark.parametrize(("of_subject", "of_pair"), [(1.0, 0.2), (1.0, 1.0), (0.3, 1.0)])
def test_intervals_cover_what_they_say(count: int, of_subject: float, of_pair: float) -> None:
    """The truth is that of new subjects: 93 to 97 of 100 intervals hold it; those of independent pairs would not."""
    generator = np.random.default_rng(count)
    subjects, partners = np.array(pairs_of(count, 2)).T
    effects = of_subject * generator.normal(size=(6000, count))
    values = effects[:, subjects] + effects[:, partners] + of_pair * generator.normal(size=(6000, len(subjects)))
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
    np.testing.assert_allclose(
        parts_of(values, None, units).over_cases, dyadic_variance(values[:, 0], subjects, partners)
    )
    by, _, alone = by_subject(values, None, units)
    assert by.shape == (2, 1, 6)
    np.testing.assert_allclose(by.mean(-1), values.mean(-1))
    assert alone.partners is None
    kept = np.arange(12) != 3
    assert units.of(kept).partners is not None
    assert len(units.of(kept).subjects) == 11
