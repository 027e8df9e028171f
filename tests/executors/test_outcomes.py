"""How a cell ended, in a few words."""

from __future__ import annotations

from ssl_bench.executors.cells.outcomes import outcome
from tests.report.page.stores import evaluation, pretraining


def test_a_score_a_loss_or_a_reason_and_the_time() -> None:
    assert outcome(evaluation("gvsl", score=0.51249)) == "DSC 0.512 in 12 s"
    assert outcome(evaluation("gvsl", "ccc", metric="AUC", score=None)) == "AUC undefined in 12 s"
    assert outcome(evaluation("gvsl", status="failed", reason="out of memory")) == "failed after 12 s: out of memory"
    learnt = pretraining("gvsl").model_copy(update={"loss_curve": [1.5, 0.75, 0.25], "cost": {}})
    assert outcome(learnt) == "loss 1.500 -> 0.250 in 0 s"
