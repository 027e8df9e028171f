"""The leaderboard says what the records say, and no more."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from ssl_bench.cells.plan import Planner
from ssl_bench.cells.record import EvaluationRecord
from ssl_bench.cells.science import ExternalBackbone
from ssl_bench.cells.store import Store
from ssl_bench.report.cells_csv import write_csv
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.table import SEMI_REAL
from ssl_bench.settings import load_preset


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def planner(*overrides: str, preset: str = "quick") -> Planner:
    return Planner(load_preset(preset, overrides), overrides, "float32")


def keep(
    store: Store, method: str, task: str, seed: int, score: float | None, plan: Planner | None = None, **extra: object
) -> None:
    cell = (plan or planner()).evaluation(method, task, "linear", seed)
    values = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)", "provenance": {},
        "science": cell.science, "score": score, "converged": True,
        "paradigm": {"scratch": "none", "gvsl": "geometric"}.get(method, "centroid-relative"),
    }  # fmt: skip
    store.publish(cell, EvaluationRecord.model_validate(values | extra))


def lines(store: Store, method: str) -> list[list[str]]:
    found = [line for line in write_markdown(store).splitlines() if line.startswith("|") and f"| {method}" in line]
    return [[part.strip() for part in line.strip("|").split("|")] for line in found]


def test_mean_and_spread_over_seeds(store: Store) -> None:
    for seed, score in enumerate((0.5, 0.6, 0.7)):
        keep(store, "gvsl", "shc", seed, score)
    assert lines(store, "gvsl") == [["geometric", "gvsl", "**60.0 ± 10.0**", "60.0"]]


def test_the_best_of_a_column_is_bold_and_only_it(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    keep(store, "scratch", "shc", 0, 0.6)
    assert lines(store, "gvsl")[0][2] == "**70.0**"
    assert lines(store, "scratch")[0][2] == "60.0"


def test_external_rows_carry_the_licence_of_their_weights(store: Store) -> None:
    plan = planner()
    external = ExternalBackbone(name="theirs", sha256="0" * 64, width=16)
    cell = plan.external(Path("theirs.pt"), external, "shc", "linear", 0)
    values = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)", "provenance": {},
        "science": cell.science, "score": 0.5, "licence": "for looking at only",
    }  # fmt: skip
    store.publish(cell, EvaluationRecord.model_validate(values))
    page = write_markdown(store)
    assert "| external | external:theirs |" in page
    assert "`external:theirs`: weights from a file, network unet3d; licence of the weights: for looking at only" in page
    (row,) = csv.DictReader(io.StringIO(write_csv(store)))
    assert row["licence"] == "for looking at only"


def test_an_incomplete_row_is_shown_and_has_no_mean(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    keep(store, "gvsl", "sbm", 0, 0.5)
    keep(store, "scratch", "shc", 0, 0.6)
    assert lines(store, "gvsl") == [["geometric", "gvsl", "**50.0**", "**70.0**", "60.0"]]
    assert lines(store, "scratch") == [["none", "scratch", "–", "60.0", "–"]]


def test_a_row_that_lacks_a_seed_is_incomplete(store: Store) -> None:
    for seed in (0, 1):
        keep(store, "gvsl", "shc", seed, 0.7)
    keep(store, "scratch", "shc", 0, 0.6)
    assert lines(store, "scratch")[0][-1] == "–"
    assert lines(store, "gvsl")[0][-1] == "70.0"


def test_an_undefined_score_is_not_a_number(store: Store) -> None:
    keep(store, "gvsl", "ccc", 0, None)
    assert lines(store, "gvsl") == [["geometric", "gvsl", "–", "–"]]


def test_rows_go_by_paradigm(store: Store) -> None:
    for method in ("gvsl", "simclr", "scratch"):
        keep(store, method, "shc", 0, 0.5)
    page = write_markdown(store)
    assert page.index("| none |") < page.index("| centroid-relative |") < page.index("| geometric |")


def test_settings_that_differ_never_meet_in_a_table(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    keep(store, "scratch", "shc", 0, 0.9, planner("protocols.linear.steps=7"))
    page = write_markdown(store)
    assert page.count("## Preset `quick`") == 2
    assert "changed by `protocols.linear.steps=7`" in page
    assert lines(store, "gvsl")[0][2] == "**70.0**"
    assert lines(store, "scratch")[0][2] == "**90.0**"


def test_options_that_differ_make_a_row_of_their_own(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    keep(store, "gvsl", "shc", 0, 0.6, planner("methods.gvsl.direction=a_to_b"))
    assert [row[1] for row in lines(store, "gvsl")] == ["gvsl", "gvsl (direction=a_to_b)"]


def test_smoke_is_never_ranked(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7, planner(preset="smoke"))
    assert "nothing here is ranked" in write_markdown(store)
    assert "**" not in write_markdown(store)


def test_semi_real_data_are_called_so_with_their_bias(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    assert SEMI_REAL in write_markdown(store)
    for words in ("1 anatomy", "favoured", "not comparable with any paper's"):
        assert words in SEMI_REAL


def test_marks_for_a_random_decoder_and_for_no_convergence(store: Store) -> None:
    modules = {
        "pretrained": [], "random": [], "frozen": [], "decoder": "random, frozen",
        "tensors_matched": 0, "tensors_missing": 0, "tensors_left_over": 0,
    }  # fmt: skip
    keep(store, "gvsl", "shc", 0, 0.7, modules=modules, converged=False)
    assert lines(store, "gvsl")[0][2] == "**70.0**†◦"


def test_text_from_records_cannot_break_the_table(store: Store) -> None:
    cell = planner().evaluation("gvsl", "shc", "linear", 0)
    values = {"key": cell.key, "status": "failed", "reason": "a | b\n<script>x</script>", "setting": cell.setting}
    values |= {"data": "semi-real (1 anatomy)", "provenance": {}, "science": cell.science}
    store.publish(cell, EvaluationRecord.model_validate(values))
    assert "a \\| b &lt;script&gt;x&lt;/script&gt; |" in write_markdown(store)


def test_csv_reads_back_to_the_same_numbers(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.123456789)
    keep(store, "gvsl", "ccc", 1, None)
    rows = list(csv.DictReader(io.StringIO(write_csv(store))))
    assert sorted((row["task"], row["seed"], row["score"]) for row in rows) == [
        ("ccc", "1", ""),
        ("shc", "0", "0.123456789"),
    ]
