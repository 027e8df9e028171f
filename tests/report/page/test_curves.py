"""Small pictures show the numbers that they are of."""

from __future__ import annotations

import math
import re

import pytest

from ssl_bench.report.page.curves import BOTTOM, LEFT, MOST_POINTS, RIGHT, TOP, curve, dots
from tests.report.page.reading import read


def drawn(svg: object) -> list[tuple[float, float]]:
    """The corners of the line, without the frame."""
    path = read(str(svg)).find("path")[1].attributes["d"]
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_a_curve_spans_its_frame() -> None:
    assert drawn(curve("loss", [(10, 2.0), (20, 1.0), (30, 1.5)])) == [(LEFT, TOP), (149, BOTTOM), (RIGHT, 40)]


def test_a_curve_says_in_words_what_it_shows() -> None:
    svg = read(str(curve("Loss <b>", [(10, 2.0), (20, 1.0)], best=20)))
    assert svg.find("figcaption")[0].text == "Loss <b>: 2 at step 10, 1 at step 20, 1 at the chosen step 20"
    assert [text.text for text in svg.find("text")] == ["2", "1"]


def test_the_chosen_step_is_marked_at_its_value() -> None:
    (mark,) = read(str(curve("dsc", [(0, 0.0), (1, 1.0), (2, 0.5)], best=1))).find("circle")
    assert (float(mark.attributes["cx"]), float(mark.attributes["cy"])) == ((LEFT + RIGHT) / 2, TOP)


def test_a_long_curve_is_averaged_and_not_sampled() -> None:
    corners = drawn(curve("loss", [(step, float(step % 2)) for step in range(100 * MOST_POINTS)]))
    assert len(corners) == MOST_POINTS
    assert len({y for _, y in corners}) == 1


@pytest.mark.parametrize("points", [[], [(1, 1.0)], [(1, math.nan), (2, math.inf), (3, 1.0)]])
def test_without_two_finite_numbers_there_is_no_curve(points: list[tuple[float, float]]) -> None:
    assert curve("loss", points) is None


def test_every_case_is_a_dot_on_the_line_of_its_class() -> None:
    assert drawn(dots("cases", [[0.0, 1.0], [0.5]], 0, 1)) == [(LEFT, 14), (RIGHT, 14), (149, 28)]
    assert dots("cases", [[], []], 0, 1) is None
