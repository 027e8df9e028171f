"""The folds of one cross-validation are one column, in which every case counts once and a subject's scans together."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ssl_bench.api.settings import SplitCounts, load_preset
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.report.cell_text import cases_text
from ssl_bench.report.comparison import ColumnStatistics, compare_columns
from ssl_bench.report.fold_notes import FOLDS, SUBJECTS
from ssl_bench.report.latex import write_latex
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.mean_rank import mean_ranks
from ssl_bench.report.page import write_html
from ssl_bench.report.pictures.gallery import gallery_pictures
from ssl_bench.report.results import load_results, read_results
from ssl_bench.report.scores import column_scores
from ssl_bench.report.statistics_csv import write_statistics_csv
from ssl_bench.report.table import Place, Table, column_title, tables_of
from ssl_bench.report.units import parts_of
from ssl_bench.spec.folds import CrossValidation
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.spec.specification import DataSpec
from ssl_bench.store.example_file import Examples, SegmentedSlice
from ssl_bench.store.store import Store

PLANNER = Planner(load_preset("quick"), [], "float32")
SIZES = (4, 5, 3)
"""Cases of three folds."""
SCORES = np.random.default_rng(0).uniform(0.4, 0.9, (2, 12))
"""Of scratch and gvsl in every case."""
METHODS = ("scratch", "gvsl")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def keep(
    store: Store, method: str, fold: int, scores: np.ndarray, task: str = "shc", seed: int = 0, scans: int = 1,
    known: bool = True, digest: str = "",
) -> None:  # fmt: skip
    """Publish a fold's cell with the scores of its cases; of ccc they are probabilities, every second is positive.

    Neighbours, so many `scans` each, are of one subject.
    """
    start, end = sum(SIZES[:fold]), sum(SIZES[: fold + 1])
    cell = PLANNER.evaluation(method, task, "linear", seed)
    data = DataSpec(
        source="folder", fingerprint="f", split=f"split {fold}", fold=fold,
        counts=SplitCounts(train=5, validation=2, test=end - start),
    )  # fmt: skip
    cell = cell.model_copy(update={"spec": cell.evaluation.model_copy(update={"data": data})})
    rows = []
    for case in range(start, end):
        own = {"dsc": scores[case]} if task == "shc" else {"probability": scores[case], "label": case % 2}
        first = start + (case - start) // scans * scans
        shared = {"subject": f"c{first:02}"} if scans > 1 else {}
        rows.append({"case": f"c{case:02}", **own, **shared})
    score = np.mean(scores[start:end])
    if task == "ccc":
        score = roc_auc_score([case % 2 for case in range(start, end)], scores[start:end])
    folds = CrossValidation(digest="d", folds=3) if known else None
    record = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "real", "provenance": {}, "spec": cell.spec,
        "score": score, "metric": "DSC" if task == "shc" else "AUC", "cases": rows, "converged": True,
        "paradigm": "none" if method == "scratch" else "geometric", "cross_validation": folds,
        "cases_digest": digest or f"cases of fold {fold}",
    }  # fmt: skip
    store.publish(cell, EvaluationRecord.model_validate(record))


def fill(store: Store, folds: tuple[int, ...] = (0, 1, 2), **others: object) -> None:
    for method, scores in zip(METHODS, SCORES, strict=True):
        for fold in folds:
            keep(store, method, fold, scores, **others)  # type: ignore[arg-type]


def table_of(store: Store, single_folds: bool = False) -> Table:
    (table,) = tables_of(read_results(store), single_folds)
    return table


def place(table: Table, method: str) -> Place:
    (column,) = table.columns
    (row,) = [row for row in table.rows if row.method == method]
    return table.places[row, column]


def statistics(store: Store) -> ColumnStatistics:
    table = table_of(store)
    return compare_columns(table, "scratch")[table.columns[0]]


def test_three_folds_are_one_column_in_which_each_case_counts_once(store: Store) -> None:
    fill(store)
    table = table_of(store)
    assert [column_title(column, table) for column in table.columns] == ["SHC linear-v2 DSC, 3 folds"]
    for method, scores in zip(METHODS, SCORES, strict=True):
        assert place(table, method).mean == pytest.approx(scores.mean())
    (column,) = table.columns
    scores = column_scores(table, column)
    assert scores is not None
    assert scores.units.folds.tolist() == [fold for fold, size in enumerate(SIZES) for _ in range(size)]
    assert scores.values[:, 0] == pytest.approx(SCORES[::1] if table.rows[0].method == "scratch" else SCORES[::-1])
    assert table.test_cases(column) == (12, 12)


def test_the_interval_is_that_of_the_pooled_cases_and_networks(store: Store) -> None:
    fill(store)
    found = statistics(store)
    (row,) = [row for row in found.summaries if row.method == "gvsl"]
    (column,) = table_of(store).columns
    scores = column_scores(table_of(store), column)
    assert scores is not None
    parts = parts_of(SCORES[1][None], None, scores.units)
    assert found.summaries[row].estimate.error == pytest.approx(parts.error)
    assert found.folds == 3
    assert found.least_p == 0


def test_an_auc_is_the_mean_of_the_folds_own_in_the_table_and_in_its_statistics(store: Store) -> None:
    fill(store, task="ccc")
    table = table_of(store)
    labels, ends = np.arange(12) % 2, np.cumsum(SIZES)
    own = [roc_auc_score(labels[e - n : e], SCORES[1][e - n : e]) for n, e in zip(SIZES, ends, strict=True)]
    expected = np.average(own, weights=SIZES)
    assert place(table, "gvsl").mean == pytest.approx(expected)
    found = statistics(store)
    (row,) = [row for row in found.summaries if row.method == "gvsl"]
    assert float(found.summaries[row].estimate.value) == pytest.approx(expected)
    assert expected != pytest.approx(roc_auc_score(labels, SCORES[1]), abs=1e-3)


def test_single_folds_have_columns_of_their_own(store: Store) -> None:
    fill(store)
    table = table_of(store, single_folds=True)
    titles = [column_title(column, table) for column in table.columns]
    assert [title.rpartition(", ")[2] for title in titles] == [
        "fold 0",
        "fold 1",
        "fold 2",
    ]
    text = write_markdown(store, single_folds=True)
    assert "fold 1" in text
    assert FOLDS not in text


def test_records_that_do_not_name_their_folds_stay_apart(store: Store) -> None:
    fill(store, known=False)
    titles = [column_title(column, table_of(store)) for column in table_of(store).columns]
    assert sorted(titles) == ["SHC linear-v2 DSC", "SHC linear-v2 DSC, fold 1", "SHC linear-v2 DSC, fold 2"]


def test_a_column_that_lacks_a_fold_says_so(store: Store) -> None:
    fill(store, (0, 2))
    table = table_of(store)
    assert column_title(table.columns[0], table) == "SHC linear-v2 DSC, 2 of 3 folds"
    assert "some folds have not run" in write_markdown(store)
    assert len(table.complete_rows) == 2


def test_a_row_that_lacks_a_fold_of_the_others_is_shown_and_never_ranked(store: Store) -> None:
    fill(store, (0, 2))
    keep(store, "scratch", 1, SCORES[0])
    table = table_of(store)
    assert [row.method for row in table.complete_rows] == ["scratch"]
    assert "◔" in place(table, "gvsl").marks
    assert place(table, "gvsl").mean == pytest.approx(np.delete(SCORES[1], slice(4, 9)).mean())
    text = write_markdown(store)
    assert "◔ lacks folds that other rows have" in text
    assert "gvsl is not ranked: 7 of 12 cases scored" in text
    assert r"\diamond" in write_latex(store)


def test_the_scans_of_a_subject_are_one_unit_and_counted(store: Store) -> None:
    fill(store, scans=2)
    found = statistics(store)
    assert (found.subjects, found.cases) == (7, 12)
    text = write_markdown(store)
    assert f"shc (7 subjects, 12 scans): {SUBJECTS}" in text
    assert "7 subjects, 12 scans of 3 folds, seed 0" in text
    assert "12 scans of 7 subjects" in write_latex(store)
    subjects = load_results(store.folder).cases.groupby("subject", observed=True).size()
    assert sorted(subjects) == [2, 2, 4, 4, 4, 4, 4]  # Of two rows.


def test_texts_of_cases() -> None:
    assert cases_text(80, 40) == "40 subjects, 80 scans"
    assert cases_text(80, 80) == "80 test cases"


def test_every_format_takes_pooled_folds(store: Store) -> None:
    for seed in range(3):
        fill(store, seed=seed, scans=2)
    (line, *_) = csv.DictReader(io.StringIO(write_statistics_csv(store)))
    assert (line["folds"], line["subjects"], line["cases"]) == ("3", "7", "12")
    assert "3 folds" in write_latex(store)
    page = write_html(store, pictures=lambda table, store, baseline: [])
    assert "3 folds" in page
    assert "fold 2" in page
    ranks = mean_ranks(table_of(store))
    assert ranks.draws.shape[0] == 2


def test_the_gallery_says_that_its_cases_are_of_one_fold(store: Store) -> None:
    fill(store)
    grey, labels = np.zeros((8, 8), np.uint8), np.eye(8, dtype=np.uint8)
    kept = Examples((SegmentedSlice("worst", "c00", 0.5, grey, labels, labels, (1.0, 1.0)),))
    examples = dict.fromkeys(table_of(store).cells["key"], kept)
    (picture,) = gallery_pictures(table_of(store), examples)
    assert picture.caption.endswith("lowest seed and fold.")
    picture, *_ = gallery_pictures(table_of(store, single_folds=True), examples)
    assert picture.caption.endswith("lowest seed.")


def test_cells_of_one_fold_that_met_other_cases_are_refused_still(store: Store) -> None:
    fill(store)
    assert len(table_of(store).columns) == 1
    keep(store, "simsiam", 1, SCORES[1], digest="others")
    with pytest.raises(UserError, match="its cells met different cases"):
        table_of(store)


@pytest.mark.parametrize(("shift", "last"), [((0.15, -0.12, 0.0), 2.0), ((0.0, 0.0, 0.0), 1.0)])
def test_a_rank_is_open_where_networks_add_more_than_rows_differ(
    store: Store, shift: tuple[float, float, float], last: float
) -> None:
    """In either case each subject's difference is nearly that of its fold."""
    base, noise = np.linspace(0.5, 0.6, 12), 1e-3 * np.sin(np.arange(12))
    for method, scores in zip(METHODS, (base, base + 0.02 + noise + np.repeat(shift, SIZES)), strict=True):
        for fold in range(3):
            keep(store, method, fold, scores)
    ranks = mean_ranks(table_of(store))
    rank = ranks.over([row for row in ranks.rows if row.method == "gvsl"])
    assert rank is not None
    assert (rank.value, rank.low, rank.high) == (1.0, 1.0, last)
