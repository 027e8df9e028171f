"""What the labels of a table are taken for."""

from __future__ import annotations

import pytest

from ssl_bench.data.layouts.table_labels import read_labels, unlikely_numbers


@pytest.mark.parametrize(
    ("cells", "kind", "classes"),
    [
        (["0", "1", "1.0"], "classification", ()),
        (["sick", "well"], "classification", ("sick", "well")),
        (["0", "2"], "classification", ()),
        (["NOR", "DCM", "RV", ""], "multi-class", ("DCM", "NOR", "RV")),
        (["10", "2", "1"], "multi-class", ("1", "2", "10")),
    ],
)
def test_labels_are_seen_by_what_they_hold(cells: list[str], kind: str, classes: tuple[str, ...]) -> None:
    found = read_labels(["image", "label"], cells, [])
    assert (found.kind, found.classes, found.problem) == (kind, classes, "")


def test_of_two_words_the_second_is_positive() -> None:
    found = read_labels(["image", "label"], ["well", "sick"], [])
    assert found.names == ("well",)
    assert [found.value(text) for text in ("sick", "well", "dead")] == [0, 1, None]


def test_a_column_of_targets_holds_numbers_and_an_option_decides_the_rest() -> None:
    assert read_labels(["image", "target"], [], ["1", "x"]).kind == "regression"
    assert read_labels(["image", "label"], ["1", "2", "3"], [], "regression").column == "label"
    both = ["image", "label", "target"]
    assert "has both columns" in read_labels(both, ["a"], ["1"]).problem
    assert read_labels(both, ["a"], ["1"], "regression").column == "target"
    assert read_labels(both, ["a", "b", "c"], ["1", "2", "3"], "multi-class").column == "label"
    assert read_labels(["image", "label"], ["0", "1"], [], "multi-class").classes == ("0", "1")
    assert read_labels(["image", "target"], [], ["nan"]).value("nan") is None


def test_many_numbers_fractions_and_mixtures_are_not_guessed() -> None:
    for cells in ([str(n) for n in range(11)], ["0.5", "1", "2"], ["a", "1", "2"]):
        assert "kind=regression" in read_labels(["label"], cells, []).problem
    assert not read_labels(["label"], [str(n) for n in range(10)], []).problem


@pytest.mark.parametrize("cells", [["COVID", "covid", "normal"], ["yes", "Yes"]])
def test_words_that_differ_in_capitals_alone_are_no_classes_of_their_own(cells: list[str]) -> None:
    problem = read_labels(["image", "label"], cells, []).problem
    assert all(repr(text) in problem for text in cells[:2])
    assert "write them alike" in problem
    assert read_labels(["image", "label"], cells, [], "multi-class").problem == ""


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([41.0, 55.5, 60.0, 72.0, 80.0, 999.0, 999.0], "2 of 7 targets are 999, and the others lie from 41 to 80"),
        ([1.5, 2.0, 2.5, 3.0, -9.0, 99.0], "2 of 6 targets are -9 or 99, and the others lie from 1.5 to 3"),
    ],
)
def test_nines_far_from_all_other_targets_are_doubted(targets: list[float], said: str) -> None:
    assert unlikely_numbers(targets) == f"{said}; where that says that nothing is known, empty those cells"


@pytest.mark.parametrize(
    "targets",
    [
        [41.0, 55.5, 60.0, 72.0, 80.0, 99.0],
        [41.0, 55.5, 60.0, 72.0, 80.0, 1000.0],
        [1.0, 2.0, 3.0, 999.0],
        [0, 1, 9, 9],
    ],
    ids=["an age of 99", "far but not nines", "too few to say", "classes"],
)
def test_other_targets_are_not(targets: list[float]) -> None:
    assert not unlikely_numbers(targets)
