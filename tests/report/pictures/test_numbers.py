"""What a picture draws is what the records say."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from scipy import stats

from ssl_bench.cells.examples import Examples
from ssl_bench.cells.record import PretrainingRecord
from ssl_bench.report.pictures.classes import class_pictures
from ssl_bench.report.pictures.cost import cost_pictures
from ssl_bench.report.pictures.curves import convergence_pictures, learning_curve_pictures
from ssl_bench.report.pictures.features import embed
from ssl_bench.report.pictures.gallery import gallery_pictures, outlines
from ssl_bench.report.pictures.health import health_pictures
from ssl_bench.report.pictures.label_efficiency import label_efficiency_pictures
from ssl_bench.report.pictures.pretext import pretext_pictures
from ssl_bench.report.pictures.scores import score_pictures
from ssl_bench.report.table import Table
from tests.report.pictures.conftest import RECORDS, only_table, points, record, titled

Figures = list[Figure]


def test_scores_are_means_over_seeds_and_cases_with_t_intervals(table: Table, figures: Figures) -> None:
    score_pictures(table)
    axes = titled(figures[0], "SHC DSC")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["scratch (baseline)", "byol", "simsiam", "gvsl"]
    assert points(axes, "o")[0] == pytest.approx((20, 0))
    (bar,) = [line for line in axes.lines if list(line.get_ydata()) == [3, 3]]
    assert bar.get_xdata() == pytest.approx(
        np.clip(stats.t.interval(0.95, 1, 60, stats.sem([50, 70])), 0, 100), abs=1e-9
    )
    (baseline,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert baseline.get_xdata() == pytest.approx([20, 20])


def test_a_column_with_fewer_labels_is_no_panel_of_the_scores(table: Table, figures: Figures) -> None:
    score_pictures(table)
    assert [[axes.get_title() for axes in figure.axes] for figure in figures] == [["SHC DSC"], ["SHC DSC"]]


def test_learning_curves_are_means_over_seeds(figures: Figures) -> None:
    other = [{"step": 20.0, "score": 0.8, "loss": 0.0}, {"step": 30.0, "score": 0.2, "loss": 0.0}]
    table = only_table([record("gvsl", "shc", "linear", (0.5,)),
                        record("gvsl", "shc", "linear", (0.5,), seed=1, validation_curve=other)])  # fmt: skip
    learning_curve_pictures(table)
    (line,) = titled(figures[0], "SHC DSC").lines
    assert list(line.get_xdata()) == [20, 30], "a step that one seed did not validate has no mean"
    assert line.get_ydata() == pytest.approx([75, 42.5])


def test_convergence_is_the_first_validated_step_as_good_as_the_best_from_scratch(
    table: Table, figures: Figures
) -> None:
    (picture,) = convergence_pictures(table)
    assert picture.name == "convergence-shc-finetune-v1", "only where the whole network is trained"
    titles = [axes.get_title().split("\n") for axes in figures[0].axes]
    assert titles == [["byol", "20 steps"], ["simsiam", "not reached"], ["gvsl", "20 steps"]]
    assert "60.0 % after 30 steps" in picture.caption


def test_label_efficiency_is_drawn_where_fractions_were_run(table: Table, figures: Figures) -> None:
    (picture,) = label_efficiency_pictures(table)
    assert picture.name == "label-efficiency-linear-v1"
    lines = {tuple(line.get_xdata()): tuple(line.get_ydata()) for line in titled(figures[0], "SHC").lines}
    assert lines[10, 100] == pytest.approx((15, 60)), "gvsl: the last one drawn"
    assert not label_efficiency_pictures(only_table(RECORDS[:4]))


def test_the_heat_map_holds_the_mean_of_every_structure(figures: Figures) -> None:
    table = only_table([record("gvsl", "shc", "linear", (0.4, None, 0.8)), record("scratch", "shc", "linear", (None,))])
    class_pictures(table)
    (mesh,) = [child for child in figures[0].axes[0].collections if isinstance(child, QuadMesh)]
    values = np.ma.filled(mesh.get_array().astype(float), np.nan)
    np.testing.assert_allclose(values, [[np.nan, 60], [np.nan, 30]])


def test_health_is_a_mean_over_seeds_against_the_score(table: Table, figures: Figures) -> None:
    health_pictures(table)
    spread, rank = (axes for axes in figures[0].axes)
    assert points(spread, "s") == [pytest.approx((2, 45))]
    assert points(rank, "s") == [pytest.approx((5, 45))]


def test_cost_is_that_of_pretraining_and_evaluation(table: Table, figures: Figures) -> None:
    gvsl = next(found for found in RECORDS if found.science.method == "gvsl")
    backbone = gvsl.science.backbone
    both = [backbone.model_copy(update={"seed": seed}) for seed in (0, 1)]
    pretrainings = {
        science.key: PretrainingRecord.model_validate(  # type: ignore[arg-type]
            {**gvsl.model_dump(), "science": science, "cost": {"device_seconds": seconds}}
        )
        for science, seconds in zip(both, (3600, 7200), strict=True)
    }
    cost_pictures(table, pretrainings)
    axes = titled(figures[0], "SHC DSC")
    assert points(axes, "o") == [pytest.approx((0.1, 20)), pytest.approx((1.6, 60))], "without a record: left out"


def test_outlines_run_between_pixels_of_two_classes() -> None:
    labels = np.zeros((4, 5), np.uint8)
    labels[1, 2], labels[1, 3] = 1, 2
    sides = {tuple(sorted(map(tuple, side))) for side in outlines(labels).tolist()}
    assert len(sides) == 7, "two touching pixels of two classes have seven sides"
    assert ((2.5, 0.5), (2.5, 1.5)) in sides
    assert ((1.5, 0.5), (2.5, 0.5)) in sides


def test_the_gallery_shows_worst_median_and_best_of_every_row(
    table: Table, examples: dict[str, Examples], figures: Figures
) -> None:
    gallery_pictures(table, examples)
    titles = [axes.get_title() for axes in figures[0].axes if axes.get_title()]
    assert titles == ["worst, DSC 10 %", "median, DSC 40 %", "best, DSC 80 %"] * 4


def test_the_grid_bends_as_the_displacement_says(table: Table, examples: dict[str, Examples], figures: Figures) -> None:
    pretext_pictures(table, examples)
    grid = titled(figures[0], "deformation grid")
    first = grid.collections[0].get_segments()[0]
    np.testing.assert_allclose(first, [[column + 1, 1] for column in range(10)])


def test_the_same_features_have_the_same_places() -> None:
    features = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float16)
    features[30:] += 40
    first, again = embed(features), embed(features)
    assert (first == again).all()
    near, far = (np.linalg.norm(first[:30].mean(0) - part, axis=1).mean() for part in (first[:30], first[30:]))
    assert far > 2 * near


@pytest.mark.parametrize("vectors", [np.zeros((40, 4)), np.ones((3, 4)), np.ones((40, 1))])
def test_features_that_do_not_differ_have_one_place(vectors: np.ndarray) -> None:
    assert not embed(vectors.astype(np.float16)).any()
