"""The table of robustness: paired changes and their intervals against scipy, and what a row was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.page import write_html
from ssl_bench.report.results import load_results
from ssl_bench.report.robustness import robustness_section, robustness_tables, shift_title
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from tests.report.made_up import StoreOf, tables
from tests.report.pictures.conftest import PLANNER, record

DSC = (0.5, 0.6, 0.7, 0.8, 0.9)
LOSSES = np.array([0.08, 0.09, 0.1, 0.11, 0.12])
"""By case; symmetrical, so that no skewness moves the interval."""


def shifted(base: EvaluationRecord, *shifts: str, trained_on: list[str] | None, **of_cases: Any) -> EvaluationRecord:
    """`base` as if scored under `shifts`: grade g loses g times `LOSSES`."""
    spec = base.spec.model_copy(update={"shifts": shifts})
    found = []
    for shift in shifts:
        for grade in (1, 2, 3):
            cases = [
                {"case": f"test-{i}", "dsc": dsc - grade * loss}
                for i, (dsc, loss) in enumerate(zip(DSC, LOSSES, strict=True))
            ]
            found.append({"shift": shift, "grade": grade, "strength": 1.0, "score": 0.0, "cases": cases})
    values = {"key": spec.key, "science": spec, "shifted": found, "trained_on_shifts": trained_on}
    return EvaluationRecord.model_validate(base.model_dump(mode="python", by_alias=True) | values | of_cases)


SCRATCH, GVSL = record("scratch", "shc", "linear", DSC), record("gvsl", "shc", "linear", DSC)
RECORDS = (
    SCRATCH,
    shifted(SCRATCH, "noise-v1", "rotation-v1", trained_on=[]),
    shifted(GVSL, "rotation-v1", trained_on=["gamma", "rotation"]),
)


def test_changes_are_paired_over_cases_and_marked_where_the_pretext_showed_them() -> None:
    (table,) = tables(*RECORDS)
    ((column, (header, rows)),) = robustness_tables(table)
    assert column[:2] == ("shc", "linear-v2")
    assert header == ["Shift", "Method", "Trained on", "Unshifted", *(f"Grade {g} (change)" for g in (1, 2, 3))]
    noise, rotation = shift_title("noise-v1"), "rotation: 10, 20, 30 degrees"
    assert [row[:4] for row in rows] == [
        [noise, "scratch", "no", "70.0"],
        [noise, "gvsl", "–", "–"],
        [rotation, "scratch", "no", "70.0"],
        [rotation, "gvsl", "yes", "70.0"],
    ]
    low, high = stats.t.interval(0.95, 4, -LOSSES.mean(), stats.sem(LOSSES))
    assert rows[0][4] == f"60.0 (-10.0 [{100 * low:.1f}, {100 * high:.1f}])"
    assert [row[6].partition(" ")[0] for row in rows] == ["40.0", "–", "40.0", "40.0"]


def test_of_a_cell_with_and_without_shifts_one_stands_in_the_leaderboard() -> None:
    for records in (RECORDS, RECORDS[::-1]):
        (table,) = tables(*records)
        assert [(len(lines), row.label) for row, lines in table.by_row(table.columns[0])] == [
            (1, "scratch"),
            (1, "gvsl"),
        ]
        assert len(list(robustness_tables(table))) == 1
    (plain,) = tables(SCRATCH)
    assert robustness_section(plain) == ""


def test_researchers_get_every_case_under_every_shift(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for one in RECORDS:
        store.publish(Cell(kind="evaluation", spec=one.spec, setting=one.setting), one)
    found = load_results(tmp_path)
    assert list(found.cells.sort_values("shifts")["shifts"]) == ["", "noise-v1 rotation-v1", "rotation-v1"]
    lines = found.shifted.merge(found.cells[["key", "method"]], on="key")
    assert len(lines) == 5 * (7 + 4)
    of_two = lines[(lines["method"] == "gvsl") & (lines["case"] == "test-2")].set_index("grade")["dsc"]
    assert of_two.to_dict() == pytest.approx({0: 0.7, 1: 0.6, 2: 0.5, 3: 0.4})


def test_what_is_unknown_is_said() -> None:
    (table,) = tables(shifted(SCRATCH, "noise-v7", trained_on=None))
    ((_, (_, rows)),) = robustness_tables(table)
    assert [row[:3] for row in rows] == [["noise-v7", "scratch", "?"]]


def test_scans_of_one_subject_are_one_unit_under_a_shift_too() -> None:
    cases = [case | {"subject": "test-0"} if i < 2 else case for i, case in enumerate(SCRATCH.cases)]
    (table,) = tables(shifted(SCRATCH, "noise-v1", trained_on=[], cases=cases))
    subjects = table.frames.shifted.cases.groupby("cell")["subject"].nunique()
    assert set(subjects) == {4}
    assert len(subjects) == 4


def test_pairs_change_with_an_interval_that_knows_whose_they_are() -> None:
    """Six subjects, each with the two that follow: of twelve pairs each subject is in four.

    In the model loss = mean + a_i + a_j + e the squared deviations of pairs are expected to be 16 A + 11 E, those of
    subjects' sums 56 A + 16 E: with B of pairs by subjects tr(CBB') = 2 * 12 - 16 * 6 / 12 = 16, and B'CB has 4 - 4/3
    on its diagonal, 1 - 4/3 for 24 neighbours, -4/3 for the 6 others. The mean has the variance 4 A / 6 + E / 12.
    """
    pairs = [(i, (i + step) % 6) for i in range(6) for step in (1, 2)]
    of_subject, own = (-0.9, -0.4, 0.5, 0.8, -0.5, 0.5), np.array([4, -5, 3, 2, -4, 1, -3, 5, -2, -1, 3, -3]) / 10
    losses = np.array([1 + of_subject[i] + of_subject[j] for i, j in pairs]) + own
    before = 5 - 2 * own
    rows = [
        {"case": f"t{i}:t{j}", "subject": f"t{i}", "partner": f"t{j}", "error_mm": float(error)}
        for (i, j), error in zip(pairs, before, strict=True)
    ]
    states = [
        {"shift": "rotation-v1", "grade": g, "strength": 1.0, "score": 0,
         "cases": [{"case": row["case"], "error_mm": row["error_mm"] + g * loss}
                   for row, loss in zip(rows, losses, strict=True)]}
        for g in (1, 2, 3)
    ]  # fmt: skip
    spec = PLANNER.evaluation("scratch", "shc", "match", 0).evaluation.model_copy(update={"shifts": ("rotation-v1",)})
    changed = {"metric": "match error", "cases": rows, "shifted": states, "spec": spec, "key": spec.key}
    (table,) = tables(record("scratch", "shc", "linear", DSC, **changed))
    under = table.frames.shifted.whole()
    assert [f"{one}:{other}" for one, other in zip(under["subject"], under["partner"], strict=True)] == list(
        under["case"]
    )
    assert list(under["grade"]) == [0] * 12 + [1] * 12 + [2] * 12 + [3] * 12
    ((_, (_, ((_, _, _, unshifted, first, _, _),))),) = robustness_tables(table)

    deviations = losses - losses.mean()
    sums = [sum(d for pair, d in zip(pairs, deviations, strict=True) if i in pair) for i in range(6)]
    squares, equations = np.array([np.sum(deviations**2), np.sum(np.square(sums))]), np.array([[16, 11], [56, 16]])
    of_both, of_pair = np.linalg.solve(equations, squares)
    variance = 4 / 6 * of_both + of_pair / 12
    assert of_pair > 0
    assert variance > 2 * losses.var(ddof=1) / 12
    # As many degrees of freedom as the quadratic form has by its variance (Satterthwaite).
    belongs = np.array([[float(i in pair) for i in range(6)] for pair in pairs])
    centre, cause = np.eye(12) - 1 / 12, belongs @ belongs.T
    weights = np.linalg.solve(equations.T, [4 / 6, 1 / 12])
    form = weights[0] * centre + weights[1] * centre @ cause @ centre
    seen = form @ (of_both * cause + of_pair * np.eye(12))
    reach = stats.t.ppf(0.975, np.trace(seen) ** 2 / np.trace(seen @ seen)) * np.sqrt(variance)
    assert unshifted == f"{before.mean():.2f}"
    low, high = losses.mean() - reach, losses.mean() + reach
    assert first == f"{(before + losses).mean():.2f} (+{losses.mean():.2f} [{low:+.2f}, {high:+.2f}])"


def test_an_auc_changes_by_what_its_probabilities_say() -> None:
    base = record("scratch", "ccc", "linear", DSC)
    says = [0.9, 0.8, 0.3, 0.2, 0.1]
    cases = [{"case": f"c{i}", "label": int(i < 2), "probability": p} for i, p in enumerate(says)]
    turned = [case | {"probability": 1 - case["probability"]} for case in cases]
    states = [{"shift": "noise-v1", "grade": g, "strength": 0.1, "score": 0, "cases": turned} for g in (1, 2, 3)]
    spec = base.spec.model_copy(update={"shifts": ("noise-v1",)})
    changed = {"metric": "AUC", "cases": cases, "shifted": states, "science": spec, "key": spec.key}
    (table,) = tables(EvaluationRecord.model_validate(base.model_dump(by_alias=True) | changed))
    ((_, (_, ((*_, unshifted, first, _, _),))),) = robustness_tables(table)
    assert unshifted == "100.0"
    assert first.startswith("0.0 (-100.0")


@pytest.mark.parametrize("write", [write_markdown, write_html])
def test_the_report_holds_the_table_and_what_it_means(write: Any) -> None:
    text = write(StoreOf(*RECORDS))
    assert "nothing trained again" in text
    assert "rotation: 10, 20, 30 degrees" in text
    assert "60.0 (-10.0 [" in text
