"""The statistics of a page and of two stores are those of the records' cases, and say over what they were made."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ssl_bench.api.settings import load_preset
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.report.changes import write_changes
from ssl_bench.report.comparison import ColumnStatistics, compare_columns
from ssl_bench.report.family import Family
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.notes import FAMILIES, METHODS, NETWORKS, SEMI_REAL_TESTS
from ssl_bench.report.results import read_results
from ssl_bench.report.significance import statistics_section
from ssl_bench.report.statistics import (
    Interval,
    auc_components,
    auc_parts,
    holm,
    mean_interval,
    mean_parts,
    sign_flip_p,
    t_test,
)
from ssl_bench.report.table import Row, tables_of
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "quick"
BASE = np.linspace(0.5, 0.9, 12)
BETTER = BASE + 0.05 + 0.01 * np.sin(np.arange(12))
ALIKE = BASE + 0.01 * np.cos(np.arange(12) * 2.5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def keep(
    store: Store,
    method: str,
    scores: Sequence[float | None],
    seed: int = 0,
    task: str = "shc",
    *overrides: str,
    preset: str = "quick",
    data: str = "semi-real (1 anatomy)",
    protocol: str = "linear",
    score: float = 0.5,
    **extra: object,
) -> None:
    """Publish a cell with these DSCs; for the task ccc these probabilities, the first half of class 0."""
    cell = Planner(load_preset(preset, overrides), overrides, "float32").evaluation(method, task, protocol, seed)
    rows: list[dict[str, object]] = [{"case": f"test-{case:03}", "dsc": score} for case, score in enumerate(scores)]
    if task == "ccc":
        rows = [
            {"case": f"test-{case:03}", "probability": score, "label": int(case >= len(scores) / 2)}
            for case, score in enumerate(scores)
        ]
    values = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": data, "provenance": {},
        "spec": cell.spec, "score": score, "paradigm": {"scratch": "none"}.get(method, "centroid-relative"),
        "cases": rows, "metric": "AUC" if task == "ccc" else "DSC",
    }  # fmt: skip
    store.publish(cell, EvaluationRecord.model_validate(values | extra))


def column(store: Store, baseline: str = "scratch") -> ColumnStatistics:
    (table,) = tables_of(read_results(store))
    return compare_columns(table, baseline)[table.columns[0]]


def mean_estimate(*seeds: np.ndarray) -> Interval:
    """The interval of the mean over seeds, each with its cases."""
    return Interval(*map(float, mean_interval(mean_parts(np.stack(seeds)))))  # type: ignore[arg-type]


def row(statistics: ColumnStatistics, method: str) -> Row:
    return next(row for row in statistics.summaries if row.label == method)


def line(text: str, method: str) -> list[str]:
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {method} |")]
    return [part.strip() for part in found.strip("|").split("|")]


def section(store: Store, baseline: str = "scratch", family: Family = Family.column) -> str:
    (table,) = tables_of(read_results(store))
    return statistics_section(table, baseline, family)


def test_seeds_are_averaged_within_a_case_before_anything_else(store: Store) -> None:
    keep(store, "gvsl", BASE.tolist(), 0)
    keep(store, "gvsl", BETTER.tolist(), 1)
    summary = column(store).summaries[row(column(store), "gvsl")]
    assert summary.estimate == pytest.approx(mean_estimate(BASE, BETTER))
    assert summary.seed_spread == pytest.approx(np.std([BASE.mean(), BETTER.mean()], ddof=1))


def test_one_seed_has_no_spread(store: Store) -> None:
    keep(store, "gvsl", BASE.tolist())
    assert line(section(store), "gvsl")[2] == "n/a"


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
def test_methods_are_compared_from_three_seeds_on_and_below_that_these_networks(store: Store, seeds: int) -> None:
    generator, first, second = np.random.default_rng(0), [], []
    for seed in range(seeds):
        first.append(BASE + generator.normal(0, 0.02, 12))
        second.append(BETTER + generator.normal(0, 0.02, 12) + generator.normal(0, 0.03))
        keep(store, "scratch", first[-1].tolist(), seed)
        keep(store, "gvsl", second[-1].tolist(), seed)
    found, page = column(store), write_markdown(store)
    differences = np.stack(second) - np.stack(first)
    difference = found.differences[row(found, "gvsl")]
    assert difference.estimate == pytest.approx(mean_estimate(*differences))
    assert found.summaries[row(found, "gvsl")].estimate == pytest.approx(mean_estimate(*second))
    flips, method = sign_flip_p(differences.mean(0)[None], generator)[0], float(t_test(mean_parts(differences)))
    assert difference.p == pytest.approx(method if seeds >= 3 else flips)
    assert found.standings[row(found, "scratch")].best_p == pytest.approx(difference.p)
    assert (NETWORKS in page, METHODS in page) == (seeds < 3, seeds >= 3)
    assert ("these networks are compared, not methods." in page) == (seeds < 3)
    assert (": methods are compared." in page) == (seeds >= 3)
    by_seed = ", ".join(f"{100 * one:+.1f}" for one in differences.mean(1)) if seeds > 1 else "–"
    assert line(section(store), "gvsl")[4] == by_seed


def test_a_difference_over_fewer_seeds_than_its_column_is_of_networks_and_says_so(store: Store) -> None:
    for seed in range(3):
        keep(store, "scratch", (BASE + 0.01 * seed).tolist(), seed)
    keep(store, "gvsl", BETTER.tolist(), 1)
    found = column(store)
    assert found.differences[row(found, "gvsl")].p == 2 / 2**12
    assert "The difference of gvsl is over 1 of 3 seeds: of these networks, not of methods." in section(store)


def test_holm_over_the_table_takes_the_comparisons_of_all_columns_together(store: Store) -> None:
    """By hand: of three p, the smallest times three, the next times two."""
    keep(store, "scratch", BASE.tolist())
    keep(store, "gvsl", BETTER.tolist())
    keep(store, "simclr", ALIKE.tolist())
    keep(store, "scratch", BASE.tolist(), task="sac")
    keep(store, "gvsl", (BASE + [0.01, 0.02, -0.01, 0.03] * 3).tolist(), task="sac")
    (table,) = tables_of(read_results(store))
    alone, together = (compare_columns(table, "scratch", family) for family in Family)
    p = {(column, row): one.p for column, found in alone.items() for row, one in found.differences.items()}
    order = sorted(p, key=lambda place: p[place])
    expected, least = {}, 0.0
    for place, factor in zip(order, (3, 2, 1), strict=True):
        least = expected[place] = min(1.0, max(least, factor * p[place]))
    corrected = {(column, row): one for column, found in together.items() for row, one in found.difference_p.items()}
    assert corrected == pytest.approx(expected)
    assert corrected != pytest.approx(
        {(c, row): one for c, found in alone.items() for row, one in found.difference_p.items()}
    )
    assert [found.comparisons for found in together.values()] == [3, 3]
    assert "Corrected over 3 comparisons with scratch." in section(store, family=Family.table)
    assert FAMILIES[Family.table] in section(store, family=Family.table)
    assert FAMILIES[Family.column] in section(store)


def test_holm_over_the_table_takes_the_pairs_of_all_columns_together(store: Store) -> None:
    for task in ("shc", "sac"):
        keep(store, "scratch", BASE.tolist(), task=task)
        keep(store, "gvsl", BETTER.tolist(), task=task)
        keep(store, "simclr", ALIKE.tolist(), task=task)
    (table,) = tables_of(read_results(store))
    found = compare_columns(table, "scratch", Family.table)
    values = np.stack([BASE, BETTER, ALIKE])
    pairs = sign_flip_p(values[[0, 0, 1]] - values[[1, 2, 2]], np.random.default_rng(0))
    corrected = holm(np.tile(pairs, 2))
    for statistics in found.values():
        assert statistics.pairs == 6
        assert statistics.standings[row(statistics, "scratch")].best_p == pytest.approx(corrected[0])


def test_a_family_too_large_for_so_few_cases_says_so(store: Store) -> None:
    said = "With so few cases no two rows could be told apart over so many pairs."
    for method, scores in (("scratch", BASE), ("gvsl", BETTER), ("simclr", ALIKE)):
        keep(store, method, scores[:7].tolist())
    assert said not in section(store)
    for method, scores in (("scratch", BASE), ("gvsl", BETTER), ("simclr", ALIKE)):
        keep(store, method, scores[:7].tolist(), task="sac")
    assert said not in section(store)
    assert said in section(store, family=Family.table)


def test_the_bounds_of_a_mean_stay_between_nothing_and_all(store: Store) -> None:
    keep(store, "gvsl", [0.0] * 9 + [0.1, 0.0, 0.0])
    assert column(store).summaries[row(column(store), "gvsl")].estimate.low == 0


def test_differences_to_the_baseline_are_paired_by_case_and_corrected_over_the_column(store: Store) -> None:
    keep(store, "scratch", BASE.tolist())
    keep(store, "gvsl", BETTER.tolist())
    keep(store, "simclr", ALIKE.tolist())
    found = column(store)
    gvsl, simclr = row(found, "gvsl"), row(found, "simclr")
    assert found.differences.keys() == {gvsl, simclr}
    assert found.differences[gvsl].estimate == pytest.approx(mean_estimate(BETTER - BASE))
    p = sign_flip_p(np.stack([BETTER - BASE, ALIKE - BASE]), np.random.default_rng(0))
    assert found.differences[gvsl].p == p[0] == 2 / 2**12
    assert [found.difference_p[gvsl], found.difference_p[simclr]] == pytest.approx([2 * p[0], p[1]])
    assert "Corrected over 2 comparisons with scratch." in section(store)


def test_the_effect_is_in_standard_deviations_of_the_differences(store: Store) -> None:
    keep(store, "scratch", BASE.tolist())
    keep(store, "gvsl", BETTER.tolist())
    found = column(store)
    difference = BETTER - BASE
    standardised = found.differences[row(found, "gvsl")].standardised
    assert standardised == pytest.approx(difference.mean() / difference.std(ddof=1))


def test_too_few_cases_could_show_nothing(store: Store) -> None:
    keep(store, "scratch", BASE[:5].tolist())
    keep(store, "gvsl", BETTER[:5].tolist())
    assert line(section(store), "gvsl")[7] == "none"


def test_ranks_and_ties(store: Store) -> None:
    keep(store, "scratch", BASE.tolist())
    keep(store, "gvsl", BETTER.tolist())
    keep(store, "simclr", ALIKE.tolist())
    page = section(store)
    assert [line(page, method)[-1] for method in ("gvsl", "scratch", "simclr")] == ["1", "2-3", "2-3"]
    assert "corrected over 3 pairs. Best: gvsl." in page


def test_the_best_is_tested_over_all_pairs_since_the_scores_chose_it(store: Store) -> None:
    keep(store, "scratch", BASE.tolist())
    keep(store, "gvsl", BETTER.tolist())
    keep(store, "simclr", ALIKE.tolist())
    found = column(store)
    assert found.standings[row(found, "scratch")].best_p == pytest.approx(3 * 2 / 2**12)
    assert math.isnan(found.standings[row(found, "gvsl")].best_p)


@pytest.mark.parametrize("undefined", [None, float("nan")])
def test_a_row_that_lacks_a_case_is_shown_compared_over_the_others_and_never_ranked(
    store: Store, undefined: float | None
) -> None:
    keep(store, "scratch", BASE.tolist())
    keep(store, "gvsl", [undefined, *BETTER[1:].tolist()])
    keep(store, "simclr", ALIKE.tolist())
    found, page = column(store), section(store)
    assert found.differences[row(found, "gvsl")].estimate == pytest.approx(mean_estimate(BETTER[1:] - BASE[1:]))
    assert found.standings.keys() == {row(found, "scratch"), row(found, "simclr")}
    assert line(page, "gvsl")[-2:] == ["–", "–"]
    assert "gvsl is not ranked: 11 of 12 cases scored, 1 of 1 seeds." in page
    assert "The difference of gvsl is over 11 cases." in page


def test_a_row_that_lacks_a_seed_is_compared_over_the_others_and_never_ranked(store: Store) -> None:
    keep(store, "scratch", BASE.tolist(), 0)
    keep(store, "scratch", BETTER.tolist(), 1)
    keep(store, "gvsl", BETTER.tolist(), 0)
    found = column(store)
    assert found.differences[row(found, "gvsl")].estimate.value == pytest.approx((BETTER - BASE).mean())
    assert found.standings.keys() == {row(found, "scratch")}
    assert "gvsl is not ranked: 12 of 12 cases scored, 1 of 2 seeds." in section(store)


def test_a_row_that_lacks_a_cell_of_another_column_is_not_ranked_in_this_one(store: Store) -> None:
    keep(store, "scratch", BASE.tolist())
    keep(store, "gvsl", BETTER.tolist())
    keep(store, "scratch", BASE.tolist(), task="sac")
    assert "gvsl is not ranked: it lacks a cell of another column, or a seed." in section(store)
    keep(store, "simclr", BETTER.tolist())
    assert "Not ranked, each because it lacks a cell of another column, or a seed: gvsl, simclr." in section(store)


def test_a_row_without_any_score_is_not_a_number(store: Store) -> None:
    keep(store, "scratch", BASE.tolist())
    keep(store, "gvsl", [None] * 12)
    assert line(section(store), "gvsl")[1:] == ["n/a", "n/a", "–", "–", "–", "–", "–", "–", "–"]


def test_auc_is_compared_by_delong(store: Store) -> None:
    generator, positive = np.random.default_rng(0), np.arange(30) >= 15
    scratch, gvsl = (generator.normal(size=(2, 30)) + np.array([[0.5], [2.0]]) * positive).tolist()
    keep(store, "scratch", scratch, task="ccc")
    keep(store, "gvsl", gvsl, task="ccc")
    found = column(store)
    components = auc_components(np.array([gvsl, scratch]), positive)
    parts = auc_parts((components[0] - components[1])[None], positive)
    estimate, p = mean_interval(parts), t_test(parts)
    difference = found.differences[row(found, "gvsl")]
    assert [*difference.estimate, difference.p] == pytest.approx([*map(float, estimate), float(p)])
    assert found.standings[row(found, "scratch")].best_p == pytest.approx(float(p))


def test_an_auc_with_one_class_has_no_statistics(store: Store) -> None:
    keep(store, "scratch", [0.5], task="ccc")
    keep(store, "gvsl", [0.7], task="ccc")
    assert line(section(store), "gvsl")[1] == "n/a"


def test_any_row_may_be_the_baseline(store: Store) -> None:
    keep(store, "scratch", BASE.tolist())
    keep(store, "gvsl", BETTER.tolist())
    page = write_markdown(store, baseline="gvsl")
    assert "Corrected over 1 comparison with gvsl." in page
    with pytest.raises(UserError, match="--baseline byol: no such row; there is gvsl, scratch"):
        write_markdown(store, baseline="byol")


def test_without_its_baseline_a_column_compares_with_nothing_and_still_ranks(store: Store) -> None:
    keep(store, "gvsl", BETTER.tolist())
    keep(store, "simclr", ALIKE.tolist())
    assert line(section(store), "simclr")[3:8] == ["–"] * 5
    assert line(section(store), "simclr")[-1] == "2"


def test_only_generated_data_are_said_to_be(store: Store, tmp_path: Path) -> None:
    keep(store, "gvsl", BASE.tolist())
    assert SEMI_REAL_TESTS in write_markdown(store)
    real = Store(tmp_path / "real")
    keep(real, "gvsl", BASE.tolist(), data="real")
    assert "### Statistics" in write_markdown(real)
    assert SEMI_REAL_TESTS not in write_markdown(real)


def test_what_is_never_ranked_has_no_statistics(store: Store) -> None:
    keep(store, "gvsl", BASE.tolist(), preset="smoke")
    assert "### Statistics" not in write_markdown(store)


def test_the_same_records_give_the_same_page(store: Store) -> None:
    generator = np.random.default_rng(0)
    for method in ("scratch", "gvsl", "simclr"):
        keep(store, method, generator.random(30).tolist())
    assert section(store) == section(store)


def test_a_change_that_moved_nothing_is_told_from_one_that_did(store: Store, tmp_path: Path) -> None:
    after = Store(tmp_path / "after")
    for seed in (0, 1):
        keep(store, "gvsl", BASE.tolist(), seed)
        keep(after, "gvsl", BETTER.tolist(), seed)
        keep(store, "simclr", ALIKE.tolist(), seed)
        keep(after, "simclr", ALIKE.tolist(), seed)
    keep(after, "simclr", ALIKE.tolist(), 2)
    page = write_changes(store, after)
    rows = {cells.split("|")[2].strip(): cells for cells in page.splitlines() if cells.startswith("| quick")}
    moved, same = ([part.strip() for part in rows[name].strip("|").split("|")] for name in ("gvsl", "simclr"))
    assert moved[4:8] == ["2", "12", f"{100 * BASE.mean():.1f}", f"{100 * BETTER.mean():.1f}"]
    assert moved[8].startswith(f"{100 * (BETTER - BASE).mean():+.1f} [+")
    assert moved[-2:] == ["5e-04", "1e-03"]
    assert same[8:] == ["+0.0 [n/a]", "n/a", "1.000", "1.000"]
    assert "Cells in both: 4, of which 2 hold exactly the same scores; in one folder only: 1." in page


def test_cells_of_another_setting_are_compared_by_what_they_share(store: Store, tmp_path: Path) -> None:
    after = Store(tmp_path / "after")
    keep(store, "gvsl", BASE.tolist())
    keep(after, "gvsl", BETTER.tolist(), 0, "shc", "pretraining.steps=7")
    assert "Cells in both: 1," in write_changes(store, after)


def test_cells_that_could_be_paired_in_two_ways_are_not(store: Store, tmp_path: Path) -> None:
    after = Store(tmp_path / "after")
    keep(store, "gvsl", BASE.tolist())
    for steps in (7, 8):
        keep(after, "gvsl", BETTER.tolist(), 0, "shc", f"pretraining.steps={steps}")
    with pytest.raises(UserError, match="of gvsl, shc, linear-v2, seed 0; name folders of one setting"):
        write_changes(store, after)


def test_folders_that_share_no_cell_are_refused(store: Store, tmp_path: Path) -> None:
    keep(store, "gvsl", BASE.tolist())
    with pytest.raises(UserError, match="no cell stands in both with the same preset, backbone, method"):
        write_changes(store, Store(tmp_path / "after"))


def test_compare_and_baseline_through_the_command_line(
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    folder = str(REFERENCE)
    same = command("report", "--compare", folder, folder)
    assert "of which 48 hold exactly the same scores" in same.stdout
    assert "with gvsl" in command("report", "--results", folder, "--baseline", "gvsl").stdout
    refused = command("report", "--compare", folder, folder, "--baseline", "gvsl")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--compare DIR_A DIR_B: takes --out only" in refused.stderr
    refused = command("report", "--results", folder, "--format", "csv", "--baseline", "gvsl")
    assert (refused.returncode, refused.stdout) == (2, "")
