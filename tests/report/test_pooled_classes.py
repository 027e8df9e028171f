"""Several classes over the folds of a cross-validation: macro AUC and accuracies of each fold's own network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from ssl_bench.api.settings import SplitCounts
from ssl_bench.report.beside import beside_table
from ssl_bench.report.comparison import compare_columns
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.results import read_results
from ssl_bench.report.table import Table, tables_of
from ssl_bench.spec.folds import CrossValidation
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.spec.specification import DataSpec
from ssl_bench.store.store import Store
from tests.report.test_pooled_folds import PLANNER

CLASSES = ("DCM", "HCM", "MINF")
TRUTHS = ((0, 0, 1, 1, 2, 2, 2, 2), (0, 0, 0, 0, 1, 1, 2, 2), (0, 0, 1, 1, 2, 2))
"""The classes of three folds' cases; neighbours are two scans of a subject."""


def folds_of(seed: int, truths: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Probabilities (cases, classes) of each fold."""
    generator = np.random.default_rng(seed)
    return [special.softmax(generator.normal(size=(len(t), 3)) + np.eye(3)[list(t)], axis=-1) for t in truths]


def table_of(store: Store, truths: Sequence[Sequence[int]]) -> Table:
    """The table of two rows with probabilities of cases of these classes."""
    for seed, method in enumerate(("scratch", "gvsl")):
        for fold, (truth, probabilities) in enumerate(zip(truths, folds_of(seed, truths), strict=True)):
            cell = PLANNER.evaluation(method, "ccc", "linear", 0)
            data = DataSpec(
                source="folder", fingerprint="f", split=f"split {fold}", fold=fold,
                counts=SplitCounts(train=5, validation=2, test=len(truth)),
            )  # fmt: skip
            cell = cell.model_copy(update={"spec": cell.evaluation.model_copy(update={"data": data})})
            rows = [
                {
                    "case": f"f{fold}c{number}",
                    "subject": f"f{fold}c{number // 2 * 2}",
                    "label": truth[number],
                    "class": CLASSES[truth[number]],
                    "probabilities": dict(zip(CLASSES, map(float, one), strict=True)),
                }
                for number, one in enumerate(probabilities)
            ]
            values = {
                "key": cell.key, "status": "ok", "setting": cell.setting, "data": "real", "provenance": {},
                "spec": cell.spec, "metric": "macro AUC", "cases": rows, "converged": True,
                "score": roc_auc_score(truth, probabilities, multi_class="ovr"), "cases_digest": f"fold {fold}",
                "paradigm": "none" if method == "scratch" else "geometric",
                "cross_validation": CrossValidation(digest="d", folds=3),
            }  # fmt: skip
            store.publish(cell, EvaluationRecord.model_validate(values))
    (table,) = tables_of(read_results(store))
    return table


def test_the_scores_are_the_folds_own_weighted_by_their_cases(tmp_path: Path) -> None:
    table = table_of(Store(tmp_path), TRUTHS)
    (column,) = table.columns
    found = compare_columns(table, "scratch")[column]
    assert (found.cases, found.subjects, found.folds) == (22, 11, 3)
    sizes = [len(truth) for truth in TRUTHS]
    header, rows = beside_table(table, column)
    assert header[1:] == ["accuracy [95 %]", "balanced accuracy [95 %]"]
    for seed, method in enumerate(("scratch", "gvsl")):
        (row,) = [row for row in table.rows if row.method == method]
        folds = folds_of(seed, TRUTHS)
        own = [roc_auc_score(truth, one, multi_class="ovr") for truth, one in zip(TRUTHS, folds, strict=True)]
        estimate = found.summaries[row].estimate
        assert float(estimate.value) == pytest.approx(np.average(own, weights=sizes))
        assert table.places[row, column].mean == pytest.approx(np.average(own, weights=sizes))
        assert estimate.low < estimate.value < estimate.high
        said = [one.argmax(-1) for one in folds]
        hits = np.concatenate([one == truth for one, truth in zip(said, TRUTHS, strict=True)])
        balanced = [balanced_accuracy_score(truth, one) for truth, one in zip(TRUTHS, said, strict=True)]
        (cells,) = [cells for label, *cells in rows if label == method]
        assert [text.split(" ")[0] for text in cells] == [
            f"{100 * hits.mean():.1f}",
            f"{100 * np.average(balanced, weights=sizes):.1f}",
        ]


def test_a_class_with_a_single_case_in_a_fold_has_no_interval_and_the_page_says_why(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table = table_of(store, (*TRUTHS[:2], (0, 0, 1, 1, 1, 2)))
    (found,) = compare_columns(table, "scratch").values()
    assert not found.standings
    text = write_markdown(store)
    assert "Not ranked, each because a class has fewer than two test cases in a fold, so that nothing is said" in text
    assert "it lacks a cell" not in text
