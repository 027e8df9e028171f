"""Trajectories: which numbers stand at which step, and rank correlations against scipy and a simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.page import write_html
from ssl_bench.report.pictures import style
from ssl_bench.report.pictures.trajectories import trajectory_pictures
from ssl_bench.report.rank_correlation import rank_correlation
from ssl_bench.report.snapshot_lines import trajectory_of
from ssl_bench.report.trajectories import correlations_over, correlations_within, trajectories, trajectory_table
from ssl_bench.spec.record import AnyRecord, EvaluationRecord, PretrainingRecord
from tests.report.made_up import StoreOf, detailed_table, tables
from tests.report.pictures.conftest import PLANNER, record

STEPS = 40
SCORES = {"gvsl": (0.2, 0.5, 0.4, 0.6), "simsiam": (0.3, 0.35, 0.45, 0.5), "byol": (0.1, 0.2, 0.3, 0.4)}
AT = (1, 4, 12, STEPS)


def along(method: str, seed: int = 0, but: int | None = None) -> list[AnyRecord]:
    """A pre-training with losses 1, 1/2, 1/3, ... and a stage whose rank goes from 8 to 4, and all its evaluations."""
    found: list[AnyRecord] = []
    for step, score in zip(AT, SCORES[method], strict=True):
        end = record(method, "shc", "linear", (score + 0.01 * seed,) * 2, seed)
        if step == STEPS:
            found.append(end)
        elif step != but:
            spec = end.spec.model_copy(update={"snapshot": step})
            found.append(EvaluationRecord.model_validate(
                end.model_dump(by_alias=True) | {"science": spec, "key": spec.key}
            ))  # fmt: skip
    cell = PLANNER.pretraining(method, seed)
    values: dict[str, Any] = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)", "provenance": {},
        "spec": cell.spec, "loss_curve": [1 / (1 + step) for step in range(STEPS)], "trained_stages": {"inc": 8},
        "stage_ranks": [{"step": 0, "inc": 8.0, "up4": 1.0}, {"step": STEPS, "inc": 4.0, "up4": 0.1}],
        "snapshots": [{"step": step, "sha256": "", "stage_ranks": {"inc": 8 - place}}
                      for place, step in enumerate(AT[:-1])],
    }  # fmt: skip
    return [*found, PretrainingRecord.model_validate(values)]


RECORDS = [record("scratch", "shc", "linear", (0.3, 0.3)), *(one for method in SCORES for one in along(method))]


def test_a_pretraining_is_read_at_its_snapshots_and_its_end() -> None:
    losses = [1 / (1 + step) for step in range(STEPS)]
    ranks = [{"step": 0, "inc": 8.0, "up": 1.0}, {"step": STEPS, "inc": 4.0, "up": 0.25}]
    looks = [{"step": 12, "stage_ranks": {"inc": 6.0, "up": 0.9}}, {"step": 1, "stage_ranks": {"inc": 9.0, "up": 1.0}}]
    found = trajectory_of(losses, looks, ranks, {"inc": 8, "up": 4})
    assert [step for step, _, _ in found] == [1, 12, STEPS]
    assert [loss for _, loss, _ in found] == pytest.approx([1, np.mean(losses[7:12]), np.mean(losses[-5:])])
    assert [rank for _, _, rank in found] == pytest.approx([1.0, 0.75, 0.25])
    assert math.isnan(trajectory_of(losses, looks, [], {"inc": 8})[0][2])
    assert trajectory_of([], looks, ranks, {"inc": 8}) == []


def test_the_table_says_the_scores_at_the_steps_and_the_leaderboard_the_end_alone() -> None:
    (table,) = tables(*RECORDS)
    (column,) = table.columns
    assert {row.label: len(lines) for row, lines in table.by_row(column)} == dict.fromkeys(["scratch", *SCORES], 1)
    found = trajectories(table, column)
    assert {row.label: one.steps for row, one in found.items()} == {method: list(AT) for method in SCORES}
    assert {row.label: tuple(one.scores) for row, one in found.items()} == SCORES
    header, lines = trajectory_table(table, column, found)
    assert header == ["Method", *(f"Step {step}" for step in AT), "With pretext loss", "With stage rank"]
    of_gvsl = next(line for line in lines if line[0] == "gvsl")
    # The loss falls and the rank falls at every snapshot, the score does not rise at every one.
    rho = stats.spearmanr(SCORES["gvsl"], AT).statistic
    assert of_gvsl[1:] == ["20.0", "50.0", "40.0", "60.0", f"{-rho:+.2f}, 4 snapshots", f"{-rho:+.2f}, 4 snapshots"]
    # The three ends have one loss and one rank.
    assert lines[-1][0] == "Over rows, at the end"
    assert lines[-1][-2:] == ["n/a, 3 pairs"] * 2


def test_seeds_are_averaged_at_the_steps_that_all_have() -> None:
    (table,) = tables(*along("gvsl"), *along("gvsl", seed=1, but=4))
    ((_, found),) = trajectories(table, table.columns[0]).items()
    assert found.steps == [1, 12, STEPS]
    assert found.scores == pytest.approx([0.205, 0.405, 0.605])


def test_a_pretraining_without_a_record_costs_its_row_alone() -> None:
    evaluations = [one for one in along("gvsl") if one.kind == "evaluation"]
    (table,) = tables(*evaluations, *along("byol"))
    assert [row.label for row in trajectories(table, table.columns[0])] == ["byol"]
    (alone,) = tables(*evaluations)
    assert trajectories(alone, alone.columns[0]) == {}


def test_a_better_error_is_a_lower_one() -> None:
    (table,) = tables(*along("byol"))
    ((_, found),) = trajectories(table, table.columns[0]).items()
    assert [one.value for one in correlations_within(found)] == pytest.approx([-1, -1])
    assert [one.value for one in correlations_within(found, sign=-1)] == pytest.approx([1, 1])


def test_correlations_over_rows_are_those_of_their_ends() -> None:
    (table,) = tables(*RECORDS)
    found = trajectories(table, table.columns[0])
    for place, one in enumerate(found.values()):
        one.losses[-1], one.ranks[-1] = float(place), -(float(place) ** 2)
    scores = [one.scores[-1] for one in found.values()]
    assert correlations_over(found)[0].value == pytest.approx(stats.spearmanr(scores, [0, 1, 2]).statistic)
    assert str(correlations_over(found)[1]).endswith("3 pairs: too few for an interval")


def test_a_rank_correlation_is_scipys_and_says_when_it_knows_little() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 30))
    found = rank_correlation(first.tolist(), [*second[:-1], np.nan])
    assert found.value == pytest.approx(stats.spearmanr(first[:-1], second[:-1]).statistic)
    assert found.low < found.value < found.high
    assert found.pairs == 29
    assert str(rank_correlation([1, 2], [1, 2])) == "n/a, 2 pairs"
    assert str(rank_correlation([1, 1, 1], [1, 2, 3])) == "n/a, 3 pairs"
    assert str(rank_correlation([1, 2, 3], [1, 2, 3])) == "+1.00, 3 pairs: too few for an interval"
    perfect = rank_correlation(range(12), range(12))
    assert perfect.low > 0.99


@pytest.mark.parametrize(("pairs", "strength"), [(10, 0.0), (12, 0.5), (25, 0.7)])
def test_intervals_of_rank_correlations_cover_the_true_one(pairs: int, strength: float) -> None:
    generator, draws = np.random.default_rng(1), 1500
    # Of two normal variables (Pearson 1907): 6 / pi times the arc sine of half of Pearson's.
    truth = 6 / math.pi * math.asin(strength / 2)
    both = generator.multivariate_normal([0, 0], [[1, strength], [strength, 1]], (draws, pairs))
    found = [rank_correlation(*values.T.tolist()) for values in both]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.93 <= covered <= 0.975


@pytest.mark.parametrize("write", [write_markdown, write_html])
def test_the_report_holds_the_table_and_what_it_means(write: Any) -> None:
    text = write(StoreOf(*RECORDS))
    assert "Over rows, at the end" in text
    assert "4 snapshots" in text
    assert "rank correlation of a row" in text
    assert "Trajectories" not in write(StoreOf(RECORDS[0]))


def test_the_picture_shows_every_row_at_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    lay_out = style.lay_out
    monkeypatch.setattr(style, "lay_out", lambda figure, kind: (figures.append(figure), lay_out(figure, kind)))
    table = detailed_table(*RECORDS)
    with style.drawing():
        (picture,) = trajectory_pictures(table, table.row_called("scratch"))
        assert trajectory_pictures(detailed_table(RECORDS[0]), None) == []
    (axes,) = figures[0].axes
    curves = [(line.get_xdata(), line.get_ydata()) for line in axes.lines]
    assert sorted(tuple(np.round(y, 6)) for _, y in curves) == sorted(
        [(30.0, 30.0), *(tuple(np.round(100 * np.array(scores), 6)) for scores in SCORES.values())]
    )
    assert all(tuple(x) == AT for x, y in curves if len(y) == len(AT))
    assert axes.get_xscale() == "log"
    assert picture.name == "along-pretraining"
    assert "Dotted: scratch" in picture.caption
