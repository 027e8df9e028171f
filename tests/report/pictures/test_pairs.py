"""Pictures of pairs of cases: everything at its place, nothing from outside that is not plain text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from ssl_bench.report.pictures.laid_pairs import laid_pictures
from ssl_bench.report.pictures.matches import match_pictures
from ssl_bench.report.table import Table
from ssl_bench.store.example_file import Examples, LaidPair, Matches
from tests.report.pictures.conftest import GVSL, SCRATCH, only_table, record, titled

GREY = np.arange(120, dtype=np.uint8).reshape(12, 10)
POINTS = np.array([[1, 2], [5, 6]], np.float32)
PARTNERS = np.array([[2, 3], [7, 8]], np.float32)
FOUND = np.array([[2, 9], [11, 0]], np.float32)
MATCHES = Matches(
    "left", "right", GREY, GREY, POINTS, PARTNERS, FOUND, np.array([6, 40], np.float32), (1.0, 1.0), (2.0, 1.0),
    np.linspace(0, 50, 101, dtype=np.float32),
)  # fmt: skip
TRUTH = np.zeros((12, 10), np.uint8)
TRUTH[3:6, 2:5] = 1
ERROR = np.full((12, 10), 4.0, np.float16)
ERROR[0, 0] = np.nan
LAID = LaidPair(
    "still", "moved", GREY, TRUTH, np.roll(TRUTH, 1), np.ones((2, 12, 10), np.float16), ERROR, (1.0, 1.0)
)  # fmt: skip


OWN = [record(method, "shc", "linear", (0.1, 0.3)) for method in ("scratch", "gvsl")]


@pytest.fixture(scope="module")
def table() -> Table:
    """Two rows of one task."""
    return only_table(OWN)


def kept(**parts: object) -> dict[str, Examples]:
    return {one.key: Examples(**parts) for one in OWN}  # type: ignore[arg-type]


def test_points_true_places_and_what_was_found_are_drawn_where_they_lie(table: Table, figures: list[Figure]) -> None:
    match_pictures(table, kept(matches=MATCHES))
    left, right = titled(figures[0], "left"), titled(figures[0], "right, median 23.0 mm")
    (points,) = (part for part in left.collections if isinstance(part, PathCollection))
    rings, found = (part for part in right.collections if isinstance(part, PathCollection))
    (joined,) = (part for part in right.collections if isinstance(part, LineCollection))
    # A plot's first coordinate runs to the right, a pixel's runs down.
    assert np.asarray(points.get_offsets()).tolist() == POINTS[:, ::-1].tolist()
    assert np.asarray(rings.get_offsets()).tolist() == PARTNERS[:, ::-1].tolist()
    assert np.asarray(found.get_offsets()).tolist() == FOUND[:, ::-1].tolist()
    ends = [segment.tolist() for segment in joined.get_segments()]
    assert ends == [[[3, 2], [9, 2]], [[8, 7], [0, 11]]]
    for coloured in (points, found, joined):
        assert np.asarray(coloured.get_array()).tolist() == [6, 40]
        assert coloured.norm(40) > coloured.norm(6) > 0
    assert right.get_aspect() == 2


def test_colours_mean_the_same_error_in_every_row(table: Table, figures: list[Figure]) -> None:
    far = replace(MATCHES, error_mm=np.array([6, 100], np.float32))
    rows = {key: Examples(matches=MATCHES) for key in kept()}
    scratch = next(one for one in OWN if one.spec.method == "scratch")
    match_pictures(table, rows | {scratch.key: Examples(matches=far)})
    scales = {
        (part.norm.vmin, part.norm.vmax)
        for axes in figures[0].axes
        if axes.get_title().startswith("right")
        for part in axes.collections
        if isinstance(part, LineCollection)
    }
    assert scales == {(1, 100)}


def test_a_curve_is_the_share_of_points_that_are_no_farther_off(table: Table, figures: list[Figure]) -> None:
    match_pictures(table, kept(matches=MATCHES))
    axes = figures[1].axes[0]
    assert len(axes.lines) == len(table.rows)
    errors, shares = axes.lines[0].get_data()
    assert float(np.interp(25, errors, shares)) == pytest.approx(50)  # type: ignore[arg-type]
    assert errors[0] == 0.5, "the left edge, for zero has no logarithm"


def test_a_laid_slice_has_its_grid_and_its_error(table: Table, figures: list[Figure]) -> None:
    (picture,) = laid_pictures(table, kept(laid=LAID))
    titled(figures[0], "moved on still")
    error = titled(figures[0], "error, median 4.0 mm").images[0]
    shown = error.get_array()
    assert shown is not None
    assert np.ma.getmaskarray(shown)[0, 0], "where the partner lies outside nothing is known"
    assert shown[5, 5] == 4
    assert "a map of errors" in picture.description
    assert "Nobody knows" not in picture.caption


def test_on_cases_whose_partners_nobody_knows_there_is_no_error(table: Table, figures: list[Figure]) -> None:
    (picture,) = laid_pictures(table, kept(laid=replace(LAID, error_mm=None)))
    assert "Nobody knows the true places" in picture.caption
    assert not any(axes.get_title().startswith("error") for axes in figures[0].axes)


def test_rows_that_kept_nothing_are_left_out(table: Table, figures: list[Figure]) -> None:
    assert not match_pictures(table, {})
    assert not laid_pictures(table, {})
    first = table.lines(table.columns[0], GVSL)["key"].iloc[0]
    (_, _) = match_pictures(table, {first: Examples(matches=MATCHES)})
    names = [text.get_text() for axes in figures[0].axes for text in axes.texts]
    assert names == [GVSL.label]
    assert SCRATCH.label not in names


def test_names_out_of_a_file_are_plain_and_short(table: Table, figures: list[Figure]) -> None:
    evil = "$\\frac{1}{2}$\n<script>" + "x" * 100
    match_pictures(table, kept(matches=replace(MATCHES, source=evil, target=evil)))
    laid_pictures(table, kept(laid=replace(LAID, case=evil, partner=evil)))
    titles = [axes.get_title() for figure in figures for axes in figure.axes]
    assert any(title.startswith("$\\frac") for title in titles)
    assert all("\n" not in title and len(title) < 45 for title in titles)
