"""The committed reference: records load and keep their keys, the page is theirs, and `quick` is not degenerate."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ssl_bench.cells.record import EvaluationRecord, PretrainingRecord
from ssl_bench.cells.store import Store
from ssl_bench.report.cells_csv import write_csv
from ssl_bench.report.markdown import write_markdown

FOLDER = Path(__file__).parents[2] / "results" / "reference" / "quick"
STORE = Store(FOLDER)
RECORDS = list(STORE.records())
EVALUATIONS = [record for record in RECORDS if isinstance(record, EvaluationRecord)]
PRETRAININGS = [record for record in RECORDS if isinstance(record, PretrainingRecord)]


def finetuned_scratch(task: str) -> EvaluationRecord:
    (record,) = [
        record
        for record in EVALUATIONS
        if (record.science.method, record.science.task, record.science.protocol) == ("scratch", task, "finetune-v1")
    ]
    return record


def test_every_cell_of_the_matrix_succeeded_once() -> None:
    cells = {(r.science.method, r.science.task, r.science.protocol) for r in EVALUATIONS}
    assert len(cells) == len(EVALUATIONS) == 6 * 4 * 2
    assert len(PRETRAININGS) == 5
    assert not list(STORE.failures())


def test_old_records_keep_their_keys() -> None:
    assert [record.science.key for record in RECORDS] == [record.key for record in RECORDS]


def test_the_page_is_made_from_these_records() -> None:
    assert (FOLDER / "leaderboard.md").read_text("utf-8") == write_markdown(STORE)
    assert (FOLDER / "cells.csv").read_text("utf-8") == write_csv(STORE)


def test_all_rows_met_the_same_cases() -> None:
    for task in {record.science.task for record in EVALUATIONS}:
        assert len({record.cases_digest for record in EVALUATIONS if record.science.task == task}) == 1


@pytest.mark.parametrize("task", ["shc", "sac", "sbm"])
def test_scratch_learns_each_segmentation_and_leaves_room(task: str) -> None:
    record = finetuned_scratch(task)
    scores = np.array([case["dsc"] for case in record.cases])
    low = scores.mean() - stats.t.ppf(0.975, len(scores) - 1) * scores.std(ddof=1) / np.sqrt(len(scores))
    assert low > 0
    assert scores.mean() <= 0.95


def test_scratch_learns_the_classification() -> None:
    record = finetuned_scratch("ccc")
    labels = np.array([case["label"] for case in record.cases])
    scores = np.array([case["probability"] for case in record.cases])
    generator = np.random.default_rng(0)
    resampled = []
    for _ in range(2000):
        chosen = generator.integers(len(labels), size=len(labels))
        positive, negative = scores[chosen][labels[chosen] == 1], scores[chosen][labels[chosen] == 0]
        if len(positive) and len(negative):
            resampled.append(stats.mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative)))
    assert np.quantile(resampled, 0.025) > 0.5
    assert record.score is not None
    assert record.score <= 0.95


def test_gvsl_matches_held_out_pairs() -> None:
    (record,) = [r for r in PRETRAININGS if r.science.method == "gvsl"]
    first = record.held_out_curve[0]["ncc"]
    last = statistics.mean(look["ncc"] for look in record.held_out_curve[-20:])
    assert last <= 0.8 * first
    assert last < record.held_out_curve[-1]["ncc of the identity"]


@pytest.mark.parametrize("method", ["models_genesis", "simclr", "simsiam", "deepcluster"])
def test_every_other_pretext_loss_falls(method: str) -> None:
    (record,) = [r for r in PRETRAININGS if r.science.method == method]
    assert statistics.mean(record.loss_curve[-20:]) < statistics.mean(record.loss_curve[:5])
