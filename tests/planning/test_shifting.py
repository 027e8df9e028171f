"""Which cells are scored under shifts, and why some are not."""

from __future__ import annotations

import pytest

from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.planning.shifting import under_shifts

MATCH = ("scratch", "control:position", "control:mind", "control:truth")
REGISTER = ("control:identity",)


def test_controls_are_shifted_where_a_shift_can_tell(planner: Planner) -> None:
    cells = [planner.evaluation(row, "shc", "match", 0) for row in MATCH]
    cells += [planner.evaluation(row, "shc", "register", 0) for row in REGISTER]
    moved, why = under_shifts(cells, ("noise-v1", "rotation-v1"))
    assert [cell.evaluation.shifts != () for cell in moved] == [True, True, True, False, True]
    assert why == ["control:truth knows every shift"]
    noisy, why = under_shifts(cells, ("noise-v1", "gamma-v1"))
    assert [cell.evaluation.shifts != () for cell in noisy] == [True, False, True, False, False]
    assert why == [
        "control:position sees no intensities, and nothing else is changed by noise, gamma",
        "control:truth knows every shift",
        "control:identity sees no intensities, and nothing else is changed by noise, gamma",
    ]
    for found in (moved, noisy):
        kept = [one.key == cell.key for one, cell in zip(found, cells, strict=True)]
        assert kept == [cell.evaluation.shifts == () for cell in found]


def test_where_nothing_can_tell_shifts_are_refused(planner: Planner) -> None:
    truth = planner.evaluation("control:truth", "shc", "match", 0)
    with pytest.raises(UserError, match=r"^--shifts: control:truth knows every shift; name a method"):
        under_shifts([truth, truth], ("noise-v1",))
    assert under_shifts([truth], ()) == ([truth], [])
