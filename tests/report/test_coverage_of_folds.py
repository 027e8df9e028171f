"""Intervals over pooled folds cover the truth, and tests over folds and subjects do not cry wolf: simulated, slow."""

from __future__ import annotations

import pytest

from ssl_bench.report.units import Units
from tests.report.simulated_folds import NETWORKS, SEEDS, auc_coverage, coverage, false_positives, units

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("kind", ["difference", "good", "low"])
@pytest.mark.parametrize("subjects", [30, 100])
def test_intervals_over_pooled_folds_cover_the_mean(kind: str, subjects: int, seeds: int, network: float) -> None:
    """Up to 97.7 % where networks add nothing, since five may always look different by chance; never below 93 %."""
    assert 0.93 <= coverage(kind, 4_000, seeds, units(subjects, 5), network, 1.0) <= 0.982


@pytest.mark.parametrize("seeds", SEEDS)
def test_subjects_with_two_scans_are_covered_in_pooled_folds_too(seeds: int) -> None:
    assert 0.93 <= coverage("difference", 4_000, seeds, units(60, 5, scans=2), 1.0) <= 0.982


@pytest.mark.parametrize("seeds", SEEDS)
def test_intervals_do_not_know_that_training_sets_overlap(seeds: int) -> None:
    """What all folds' training sets share cannot be seen between them: docs/statistics.md says how far this goes."""
    assert coverage("difference", 4_000, seeds, units(60, 5), 1.0, 0.0, overlap=1.0) < 0.85


@pytest.mark.parametrize("network", [0.0, 1.0])
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("truth", [0.75, 0.9])
def test_intervals_of_the_folds_mean_auc_cover_it(truth: float, seeds: int, network: float) -> None:
    """The AUC of pooled scores is another number: networks of different calibration lower it."""
    covered, of_folds, of_pooled_scores = auc_coverage(2_000, seeds, units(50, 5), truth, network)
    assert 0.95 <= covered <= 0.992
    assert of_folds == pytest.approx(truth, abs=0.005)
    assert (of_pooled_scores < truth - 0.04) is (network > 0)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("subjects", [30, 100])
def test_tests_over_pooled_folds_find_at_most_five_percent_of_what_is_not_there(
    subjects: int, seeds: int, network: float
) -> None:
    assert false_positives(4_000, seeds, units(subjects, 5), network) <= 0.052


@pytest.mark.parametrize("network", [1.0, 2.0])
def test_cases_that_share_a_network_are_not_alone(network: float) -> None:
    """One seed: flips of cases take what a network did to all of its fold for twenty findings."""
    assert false_positives(4_000, 1, units(100, 5), network, Units.single(100)) > 0.1


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("subjects", [12, 40])
def test_two_scans_of_a_subject_are_no_two_subjects(subjects: int, seeds: int) -> None:
    """With half of their spread in common; by case, twice as much as allowed is found."""
    grouped = units(subjects, 1, scans=2)
    assert false_positives(4_000, seeds, grouped, 0.0) <= 0.055
    assert false_positives(4_000, seeds, grouped, 0.0, Units.single(2 * subjects)) > 0.08
