"""Two stores side by side: folds of one cross-validation are one row, and each store names its classes as they came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.report.changes import write_changes
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from tests.report.test_pooled_folds import PLANNER, SCORES, fill, keep

CLASSES = ("DCM", "HCM", "NOR")


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    return Store(tmp_path / "before"), Store(tmp_path / "after")


def rows_of(page: str) -> list[list[str]]:
    return [[part.strip() for part in line.strip("|").split("|")] for line in page.splitlines() if "quick |" in line]


def keep_classes(store: Store, probabilities: np.ndarray, planner: Planner = PLANNER) -> None:
    """Publish a cell with probabilities (cases, 3) of cases that are of the three classes in turn."""
    cell = planner.evaluation("scratch", "ccc", "linear", 0)
    rows = [
        {
            "case": f"c{number:02}",
            "label": number % 3,
            "class": CLASSES[number % 3],
            "probabilities": dict(zip(CLASSES, map(float, one), strict=True)),
        }
        for number, one in enumerate(probabilities)
    ]
    values = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "real", "provenance": {}, "spec": cell.spec,
        "score": 0.5, "metric": "macro AUC", "cases": rows, "converged": True, "paradigm": "none",
    }  # fmt: skip
    store.publish(cell, EvaluationRecord.model_validate(values))


def test_the_folds_of_a_cross_validation_are_one_row_over_all_of_its_cases(stores: tuple[Store, Store]) -> None:
    before, after = stores
    fill(before)
    for fold in range(3):
        keep(after, "gvsl", fold, SCORES[1] + 0.05)
    (row,) = rows_of(write_changes(before, after))
    assert row[4:8] == ["1", "12", f"{100 * SCORES[1].mean():.1f}", f"{100 * SCORES[1].mean() + 5:.1f}"]


def test_stores_of_which_one_holds_other_kinds_of_tasks_too(stores: tuple[Store, Store]) -> None:
    before, after = stores
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 12)
    fill(after)
    for store in stores:
        keep_classes(store, probabilities)
    (row,) = rows_of(write_changes(before, after))
    expected = 100 * roc_auc_score(np.arange(12) % 3, probabilities, multi_class="ovr")
    assert row[5:8] == ["12", f"{expected:.1f}", f"{expected:.1f}"]


def test_backbones_are_rows_of_their_own_and_cells_of_one_store_alone_leave_no_choice(
    stores: tuple[Store, Store],
) -> None:
    before, after = stores
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 12)
    keep_classes(before, probabilities)
    keep_classes(before, probabilities, PLANNER.on_backbone("resenc"))
    keep_classes(before, probabilities, PLANNER.changed(["width=32"]))
    keep_classes(after, probabilities, PLANNER.on_backbone("resenc"))
    (row,) = rows_of(write_changes(before, after))
    assert row[1] == "scratch on resenc"
    keep_classes(after, probabilities, PLANNER.changed(["width=24"]))
    with pytest.raises(UserError, match=f"{before.folder} holds cells .* of scratch, ccc, linear-v2, seed 0; name"):
        write_changes(before, after)
