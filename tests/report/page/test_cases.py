"""What a cell's drawer says of its test cases."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ssl_bench.report.page.cases import MOST_DOTS, case_dots, case_facts, number
from ssl_bench.report.page.curves import LEFT, RIGHT
from ssl_bench.report.page.details import describe_evaluation
from tests.report.page.stores import evaluation

SEGMENTED: list[dict[str, Any]] = [
    {"case": "a", "dsc": 0.2, "dsc_per_class": {"atrium": 0.1, "wall": 0.3}, "hd95_mm_per_class": {"atrium": 2.0}},
    {"case": "b", "dsc": 1.0, "dsc_per_class": {"atrium": 1.0}, "hd95_mm_per_class": {"atrium": 1.0, "wall": 6.0}},
    {"case": "c", "dsc": None, "dsc_per_class": {"atrium": None}},
    {"case": "d", "dsc": 0.6, "centreline_dice": 0.25},
    {"case": "e", "dsc": 0.4},
]
CLASSIFIED = [(1, 0.9), (0, 0.3), (0, 0.7), (1, 0.5), (0, None)]


def classified() -> dict[str, Any]:
    cases = [{"case": str(place), "label": label, "probability": p} for place, (label, p) in enumerate(CLASSIFIED)]
    return {"cases": cases, "metric": "AUC"}


def test_scores_are_said_by_their_spread_by_class_and_by_other_measures() -> None:
    """Quartiles of 20, 40, 60 and 100; means over the cases that have one, of a case over its classes before."""
    assert case_facts(evaluation("gvsl", cases=SEGMENTED)) == [
        ("Test cases", "5; worst 20.0 (a), quartiles 35.0, 50.0, 70.0, best 100.0 (b); 1 undefined"),
        ("DSC by class", "atrium 55.0, wall 30.0"),
        ("Also measured", "HD95 2.8 mm without the classes that were missed, centreline Dice 25.0 (means over cases)"),
    ]


def test_cases_of_a_classification_are_counted_by_class() -> None:
    assert case_facts(evaluation("gvsl", "ccc", **classified())) == [("Test cases", "2 positive, 3 negative")]


def test_what_is_beside_a_score_and_undefined_is_called_so() -> None:
    """As R² of a fold with a single test case."""
    record = evaluation("gvsl", metric="MAE", beside={"Pearson r": 0.5, "R²": None})
    assert ("Beside it", "Pearson r 0.500, R² undefined") in describe_evaluation(record).facts


def places(drawn: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"M(\d+) (\d+)h0", drawn)]


def test_every_case_is_a_dot_at_its_score() -> None:
    drawn = case_dots(evaluation("gvsl", cases=SEGMENTED))
    assert drawn is not None
    assert "DSC of each test case" in drawn
    assert places(drawn) == [(round(LEFT + score * (RIGHT - LEFT)), 14) for score in (0.2, 1.0, 0.6, 0.4)]


def test_probabilities_are_dots_above_and_below_from_the_lowest_to_the_highest() -> None:
    drawn = case_dots(evaluation("gvsl", "ccc", **classified()))
    assert drawn is not None
    share = [(0.9, 14), (0.5, 14), (0.3, 28), (0.7, 28)]
    assert places(drawn) == [(round(LEFT + (p - 0.3) / 0.6 * (RIGHT - LEFT)), line) for p, line in share]


def test_too_many_cases_are_no_dots() -> None:
    cases = [{"case": str(place), "dsc": 0.5} for place in range(MOST_DOTS + 1)]
    assert case_dots(evaluation("gvsl", cases=cases)) is None
    assert case_dots(evaluation("gvsl", cases=cases[1:])) is not None


@pytest.mark.parametrize(
    ("value", "found"),
    [(0.5, 0.5), (2, 2.0), (None, None), ("0.5", None), (float("nan"), None), (float("-inf"), None), (10**400, None)],
)
def test_a_number_is_what_is_finite(value: object, found: float | None) -> None:
    assert number(value) == found
