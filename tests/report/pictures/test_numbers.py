"""What a picture draws is what the records say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from scipy import stats

from ssl_bench.report.pictures.classes import class_pictures
from ssl_bench.report.pictures.cost import cost_pictures
from ssl_bench.report.pictures.curves import convergence_pictures, learning_curve_pictures
from ssl_bench.report.pictures.features import embed
from ssl_bench.report.pictures.gallery import PREDICTION, TRUTH, gallery_pictures, outlines
from ssl_bench.report.pictures.health import health_pictures
from ssl_bench.report.pictures.label_efficiency import label_efficiency_pictures
from ssl_bench.report.pictures.pretext import pretext_pictures
from ssl_bench.report.pictures.pretext_losses import pretext_loss_pictures
from ssl_bench.report.pictures.scores import score_pictures
from ssl_bench.report.table import Table
from ssl_bench.spec.record import EvaluationRecord, PretrainingRecord
from ssl_bench.spec.specification import DataSpec
from ssl_bench.store.example_file import Examples
from tests.report.pictures.conftest import GVSL, RECORDS, SCRATCH, only_table, points, record, titled

Figures = list[Figure]


def test_scores_are_means_over_seeds_and_cases_with_t_intervals(table: Table, figures: Figures) -> None:
    score_pictures(table, SCRATCH)
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
    score_pictures(table, SCRATCH)
    assert [[axes.get_title() for axes in figure.axes] for figure in figures] == [["SHC DSC"], ["SHC DSC"]]


@pytest.mark.parametrize("draw", [lambda table: score_pictures(table, None), learning_curve_pictures])
def test_a_task_that_was_run_with_fewer_labels_alone_has_a_panel_that_says_so(
    draw: Callable[[Table], object], figures: Figures
) -> None:
    few = [record("gvsl", "sbm", "linear", (0.5, 0.7), fraction=fraction) for fraction in (0.05, 0.125)]
    draw(only_table([*RECORDS, *few]))
    titles = [axes.get_title().replace("\n", " ") for axes in figures[0].axes]
    assert titles == ["SBM DSC, 12.5% of labels", "SHC DSC"]


def test_a_picture_of_one_column_says_of_how_many_labels_it_is(figures: Figures) -> None:
    found = [record(method, "shc", "finetune", (0.5,), fraction=0.1) for method in ("scratch", "gvsl")]
    pictures = [*class_pictures(only_table(found)), *convergence_pictures(only_table(found), SCRATCH)]
    assert [picture.title.count("SHC under finetune-v2, 10% of labels") for picture in pictures] == [1, 1]


def test_another_baseline_is_what_pictures_set_the_others_against(table: Table, figures: Figures) -> None:
    scores, health, cost = score_pictures(table, GVSL)[0], *health_pictures(table, GVSL), cost_pictures(table, GVSL)
    assert [label.get_text() for label in figures[0].axes[0].get_yticklabels()][3] == "gvsl (baseline)"
    for figure, value in ((figures[0], "x"), (figures[2], "y"), (figures[3], "y")):
        for axes in figure.axes:
            (dashed,) = [line for line in axes.lines if line.get_linestyle() == "--"]
            assert getattr(dashed, f"get_{value}data")() == pytest.approx([60, 60])
    assert all("Dashed: the score of gvsl." in picture.caption for picture in (scores, health, cost[0]))
    (convergence,) = convergence_pictures(table, GVSL)
    assert "steps to the best of gvsl" in convergence.title
    assert [axes.get_title() for axes in figures[-1].axes] == [
        "scratch\nnot reached",
        "byol\n30 steps",
        "simsiam\nnot reached",
    ]


def test_without_the_baseline_no_picture_speaks_of_it(table: Table, figures: Figures) -> None:
    pictures = [*score_pictures(table, None), *health_pictures(table, None), *cost_pictures(table, None)]
    assert not [picture.name for picture in pictures if "ashed" in picture.caption]
    assert not [
        line for figure in figures for axes in figure.axes for line in axes.lines if line.get_linestyle() == "--"
    ]
    assert not convergence_pictures(table, None)


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
    (picture,) = convergence_pictures(table, SCRATCH)
    assert picture.name == "convergence-shc-finetune-v2", "only where the whole network is trained"
    titles = [axes.get_title().split("\n") for axes in figures[0].axes]
    assert titles == [["byol", "20 steps"], ["simsiam", "not reached"], ["gvsl", "20 steps"]]
    assert "60.0 % after 30 steps" in picture.caption


def test_label_efficiency_is_drawn_where_fractions_were_run(table: Table, figures: Figures) -> None:
    (picture,) = label_efficiency_pictures(table)
    assert picture.name == "label-efficiency-linear-v2"
    lines = {tuple(line.get_xdata()): tuple(line.get_ydata()) for line in titled(figures[0], "SHC").lines}
    assert lines[10, 100] == pytest.approx((15, 60)), "gvsl: the last one drawn"
    assert not label_efficiency_pictures(only_table(RECORDS[:4]))


@pytest.mark.parametrize("changed", [{"split": "other"}, {"fingerprint": "other"}, {"fold": 1}, {"recipe": {"a": 1}}])
def test_label_efficiency_joins_nothing_that_differs_in_more_than_its_labels(
    changed: dict[str, object], figures: Figures
) -> None:
    data = {"source": "folder", "fingerprint": "f", "recipe": {}, "split": "s", "fold": 0,
            "counts": {"train": 8, "validation": 2, "test": 2}}  # fmt: skip
    fewer = {"label_fraction": 0.5, "counts": {"train": 4, "validation": 2, "test": 2}}
    found = [
        on_folder(data, 0.8), on_folder(data | fewer, 0.6),
        on_folder(data | changed, 0.7), on_folder(data | changed | fewer, 0.2),
    ]  # fmt: skip
    label_efficiency_pictures(only_table(found))
    panels = figures[0].axes
    assert len({axes.get_title() for axes in panels}) == 2
    assert sorted(tuple(line.get_ydata()) for axes in panels for line in axes.lines) == [
        pytest.approx((20, 70)),
        pytest.approx((60, 80)),
    ]
    assert not label_efficiency_pictures(only_table([found[0], found[3]]))


def on_folder(data: dict[str, object], dsc: float) -> EvaluationRecord:
    """A cell of gvsl on the user's data."""
    found = record("gvsl", "shc", "linear", (dsc,))
    spec = found.spec.model_copy(update={"data": DataSpec.model_validate(data)})
    return found.model_copy(update={"spec": spec})


def test_the_heat_map_holds_the_mean_of_every_structure(figures: Figures) -> None:
    table = only_table([record("gvsl", "shc", "linear", (0.4, None, 0.8)), record("scratch", "shc", "linear", (None,))])
    class_pictures(table)
    (mesh,) = [child for child in figures[0].axes[0].collections if isinstance(child, QuadMesh)]
    values = np.ma.filled(mesh.get_array().astype(float), np.nan)
    np.testing.assert_allclose(values, [[np.nan, 60], [np.nan, 30]])
    colours = {text.get_text(): text.get_color() for text in figures[0].axes[0].texts}
    assert colours == {"60": "black", "30": "white"}, "readable on khaki and on blue"


def test_health_is_a_mean_over_seeds_against_the_score(table: Table, figures: Figures) -> None:
    health_pictures(table, SCRATCH)
    spread, rank = (axes for axes in figures[0].axes)
    assert points(spread, "s") == [pytest.approx((2, 45))]
    assert points(rank, "s") == [pytest.approx((5, 45))]


def test_cost_is_that_of_pretraining_and_evaluation(figures: Figures) -> None:
    gvsl = next(found for found in RECORDS if found.spec.method == "gvsl")
    backbone = gvsl.spec.backbone
    both = [backbone.model_copy(update={"seed": seed}) for seed in (0, 1)]
    pretrainings = [
        PretrainingRecord.model_validate(
            {**gvsl.model_dump(), "key": spec.key, "science": spec, "cost": {"device_seconds": seconds}}  # type: ignore[union-attr]
        )
        for spec, seconds in zip(both, (3600, 7200), strict=True)
    ]
    cost_pictures(only_table([*RECORDS, *pretrainings]), SCRATCH)
    axes = titled(figures[0], "SHC DSC")
    assert points(axes, "o") == [pytest.approx((0.1, 20)), pytest.approx((1.6, 60))], "without a record: left out"


def test_pretext_losses_are_means_over_seeds_and_long_curves_over_stretches_of_steps(figures: Figures) -> None:
    gvsl = next(found for found in RECORDS if found.spec.method == "gvsl")
    pretrainings = []
    for seed, offset in ((0, 0.0), (1, 2.0)):
        spec = gvsl.spec.backbone.model_copy(update={"seed": seed})
        looks = [{"step": 0.0, "loss": 9.0 + offset}, {"step": 80.0, "loss": 5.0, "other": 1.0}]
        pretrainings.append(
            PretrainingRecord.model_validate(
                {
                    **gvsl.model_dump(),
                    "key": spec.key,
                    "science": spec,
                    "held_out_curve": looks,
                    "loss_curve": [step + offset for step in range(1, 81)],
                }
            )
        )
    pretext_loss_pictures(only_table([*RECORDS, *pretrainings]))
    training, held_out = titled(figures[0], "gvsl").lines
    assert list(held_out.get_xydata().flat) == [0, 10, 80, 5]
    steps, losses = training.get_xydata().T
    assert steps == pytest.approx(np.arange(1.5, 80, 2)), "two steps a point"
    assert losses == pytest.approx(steps + 1), "the mean of both seeds"


def test_without_losses_there_is_no_picture_of_them() -> None:
    assert not pretext_loss_pictures(only_table(RECORDS))


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


def test_a_slice_is_grey_under_the_outlines_of_reference_and_prediction(
    table: Table, examples: dict[str, Examples], figures: Figures
) -> None:
    gallery_pictures(table, examples)
    axes = titled(figures[0], "worst")
    example = next(iter(examples.values())).slices[0]
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array(), example.image)
    reference, prediction = axes.collections
    for drawn, labels, colour in ((reference, example.truth, TRUTH), (prediction, example.prediction, PREDICTION)):
        np.testing.assert_allclose(drawn.get_segments(), outlines(labels))
        assert same_color(drawn.get_edgecolor()[0], colour)


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
