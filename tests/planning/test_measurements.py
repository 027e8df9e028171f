"""What a protocol without a gradient measures, and the controls that are planned beside it."""

from __future__ import annotations

import pytest

from ssl_bench.api.settings import load_preset
from ssl_bench.errors import UserError
from ssl_bench.planning.measurements import measurable, with_controls
from ssl_bench.planning.planner import Planner

TWO_TEST_CASES = ["cohort.segmentation.test=2"]


@pytest.fixture
def planner() -> Planner:
    """Cells of the smoke preset, with pairs of test cases."""
    return Planner(load_preset("smoke", TWO_TEST_CASES), TWO_TEST_CASES, "float32")


def test_controls_stand_beside_measurements_alone_and_each_once(planner: Planner) -> None:
    cells = [planner.evaluation("scratch", "shc", name, 0) for name in ("linear", "match", "register")]
    rows = [(cell.evaluation.row, cell.evaluation.protocol) for cell in with_controls([*cells, cells[1]], planner)[4:]]
    assert rows == [
        *((f"control:{name}", "match-v1") for name in ("position", "patches", "mind", "truth")),
        *((f"control:{name}", "register-v1") for name in ("identity", "patches", "mind", "truth")),
    ]


def test_a_control_has_a_key_of_its_own_and_needs_no_pretraining(planner: Planner) -> None:
    scratch, position, mind = (
        planner.evaluation(name, "shc", "match", 0) for name in ("scratch", "control:position", "control:mind")
    )
    assert len({scratch.key, position.key, mind.key}) == 3
    assert position.pretraining is None
    assert (position.evaluation.method, position.evaluation.paradigm) == ("control:position", "none")


@pytest.mark.parametrize(
    ("row", "task", "protocol", "reason"),
    [
        ("scratch", "ccc", "match", "match-v1 measures no classification such as ccc"),
        ("scratch", "shc", "knn", "knn-v1 measures no segmentation such as shc"),
        ("scratch", "sac", "match", "match-v1 of scratch needs true partners, which nobody knows for the cases of sac"),
        ("control:truth", "sac", "transfer", "transfer-v1 of control:truth needs true partners"),
        ("control:identity", "shc", "match", "match-v1 has no control:identity; it has position, patches, mind, truth"),
        ("control:mind", "shc", "linear", "linear-v2 trains, and control:mind has nothing to train"),
    ],
)
def test_what_cannot_be_measured_is_left_out_with_a_line(
    planner: Planner, row: str, task: str, protocol: str, reason: str
) -> None:
    good = planner.evaluation("scratch", "shc", "transfer", 0)
    kept, reasons = measurable([planner.evaluation(row, task, protocol, 0), good])
    assert kept == [good]
    assert [reason in said for said in reasons] == [True]
    with pytest.raises(UserError, match="choose another protocol or task"):
        measurable([planner.evaluation(row, task, protocol, 0)])


@pytest.mark.parametrize("protocol", ["match-v1", "register-v1", "retrieval-v1"])
def test_one_test_case_is_compared_with_no_other(protocol: str) -> None:
    alone = ["cohort.segmentation.test=1", "cohort.segmentation.validation=2"]
    planner = Planner(load_preset("smoke", alone), alone, "float32")
    good = planner.evaluation("scratch", "shc", "transfer", 0)
    trial = planner.evaluation("scratch", "shc", protocol, 0, scored_on="validation")
    kept, (reason,) = measurable([planner.evaluation("scratch", "shc", protocol, 0), good, trial])
    assert kept == [good, trial]
    assert f"{protocol} compares test cases with each other, and shc has one" in reason
    assert "--set cohort.segmentation.test=2" in reason
    assert with_controls([good], planner)[1:]
