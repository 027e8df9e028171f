"""Scores under shifts: what the trained network says of shifted cases, and nothing else of the record changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.metric import METRICS
from ssl_bench.api.registry import TASKS
from ssl_bench.api.shift import SHIFTS
from ssl_bench.data.sources import source_of
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.planning.planner import Planner
from ssl_bench.planning.shifting import under_shifts
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from ssl_bench.submission.scores import score_findings
from ssl_bench.training import robustness
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime
from tests.training.test_resume import without_circumstances

SILENT, RUNTIME = Progress(shown=False), Runtime("cpu", 1)
ASKED = ("noise-v1", "field-of-view-v1", "rotation-v1")


def record_of(
    planner: Planner, folder: Path, task: str, shifts: tuple[str, ...], protocol: str = "probe-v1", row: str = "scratch"
) -> EvaluationRecord:
    (cell,), _ = under_shifts([planner.evaluation(row, task, protocol, 0)], shifts)
    record = run_cell(cell, Store(folder), RUNTIME, SILENT)
    assert isinstance(record, EvaluationRecord)
    assert record.status == "ok", record.reason
    return record


def test_grade_0_scores_what_the_record_scores_and_the_rest_stays(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = record_of(planner, tmp_path, "sbm", ())
    monkeypatch.setattr(robustness, "GRADES", (0, 1))
    record = record_of(planner, tmp_path, "sbm", ASKED)
    assert_grade_0_is_unshifted(record, "dsc")
    assert record.key != plain.key
    own = without_circumstances(record)
    for name in ("key", "science", "shifted", "trained_on_shifts"):
        own[name] = without_circumstances(plain)[name]
    assert own == without_circumstances(plain)
    assert record.trained_on_shifts == []
    assert [(scores.shift, scores.grade) for scores in record.shifted] == [(n, g) for n in ASKED for g in (0, 1)]
    assert EvaluationRecord.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize(
    ("row", "protocol"),
    [
        ("control:position", "match-v1"),
        pytest.param("scratch", "match-v1", marks=pytest.mark.slow),
        pytest.param("scratch", "register-v1", marks=pytest.mark.slow),
    ],
)
def test_a_measurement_keeps_its_record_and_scores_pairs_under_shifts(
    row: str, protocol: str, planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = record_of(planner, tmp_path, "shc", (), protocol, row)
    monkeypatch.setattr(robustness, "GRADES", (0, 3))
    record = record_of(planner, tmp_path, "shc", ("rotation-v1",), protocol, row)
    still, turned = record.shifted
    (pair,), (same,) = record.cases, still.cases
    assert (still.score, same) == (record.score, {name: pair[name] for name in same})
    assert set(same) >= {"case", METRICS[record.metric].of_case}
    assert turned.score != record.score
    own = without_circumstances(record)
    for name in ("key", "science", "shifted", "trained_on_shifts"):
        own[name] = without_circumstances(plain)[name]
    assert own == without_circumstances(plain)
    assert record.trained_on_shifts == []
    assert [finding for finding in score_findings(record) if "score" in str(finding)] == []


@pytest.mark.slow
def test_whole_volumes_are_scored_under_shifts_too(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "GRADES", (0, 1))
    assert_grade_0_is_unshifted(record_of(planner, tmp_path, "ccc", ASKED), "probability")


def assert_grade_0_is_unshifted(record: EvaluationRecord, said: str) -> None:
    unshifted = [{name: row[name] for name in row if name in ("case", "label", said)} for row in record.cases]
    for scores in record.shifted:
        assert scores.strength == SHIFTS[scores.shift.removesuffix("-v1")].strengths[scores.grade]
        if scores.grade == 0:
            assert scores.cases == unshifted
            assert scores.score == record.score
    assert any(scores.cases != unshifted for scores in record.shifted if scores.grade == 1)


def test_truth_that_is_predicted_scores_one_in_the_shifted_frame(planner: Planner) -> None:
    """Whoever says of a shifted case what its label says is right; whoever says what it was before is not."""
    (cell,), _ = under_shifts([planner.evaluation("scratch", "sbm", "linear-v2", 0)], ("noise-v1", "rotation-v1"))
    facts, cases = TASKS.load("sbm").facts, source_of(cell).load("test")["test"]

    def truth(case: Case) -> Tensor:
        return torch.from_numpy(np.asarray(case.label).astype(np.int32))

    moved = robustness.shifted_scores(cell.evaluation, facts, cases, truth, SILENT)
    assert [scores.score for scores in moved] == [1.0] * 6
    still = {case.identifier: truth(case) for case in cases}
    stuck = robustness.shifted_scores(cell.evaluation, facts, cases, lambda case: still[case.identifier], SILENT)
    assert [scores.score for scores in stuck][:3] == [1.0] * 3
    turned = [float(scores.score or 0) for scores in stuck][3:]
    assert 1 > turned[0] > turned[1] > turned[2]
