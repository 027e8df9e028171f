"""What a scheduler shows: counts, the time left, and a line for each slot."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ssl_bench.executors.cells.outcomes import failure
from ssl_bench.executors.workers import live
from ssl_bench.executors.workers.live import LiveView
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime


@pytest.fixture
def cells(planner: Planner) -> list[Cell]:
    return [planner.evaluation("scratch", "shc", "linear", seed) for seed in range(5)]


def view_on(terminal: bool, width: int = 100) -> tuple[LiveView, io.StringIO]:
    view, written = LiveView(["cpu 1", "cpu 2"]), io.StringIO()
    view.console = Console(file=written, force_terminal=terminal, width=width)
    return view, written


def end(view: LiveView, cell: Cell, reason: str | None = None) -> None:
    record = failure(cell, Runtime(), reason or "")
    view.ended(cell, record if reason else record.model_copy(update={"status": "ok"}), reason or "DSC 0.5")


def test_the_time_left_is_that_of_cells_of_the_kind_over_the_slots(
    cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 100.0])
    monkeypatch.setattr(live.time, "monotonic", lambda: next(clock))
    view, _ = view_on(terminal=False)
    with view.over(cells, done=3):
        assert view.summary() == "3 done, 0 failed, 5 left"
        view.started(0, cells[0])
        end(view, cells[0])
        assert view.summary() == "4 done, 0 failed, 4 left, about 0:03:20"


def test_a_terminal_shows_each_slot_and_keeps_what_failed(cells: list[Cell]) -> None:
    view, written = view_on(terminal=True)
    with view.over(cells, done=0):
        view.started(0, cells[0])
        view.started(1, cells[1])
        view.step(1, cells[1], 3, 40, "loss 0.123")
        end(view, cells[0], reason="the process died of SIGABRT")
        view.idle(0)
    shown = written.getvalue()
    assert shown.rpartition("cpu 1")[2].split()[0] == "-", "a slot without a cell"
    assert f"{cells[0].title}: the process died of SIGABRT" in shown
    assert f"{cells[1].title}: step 3 of 40, loss 0.123" in shown
    assert "0 done, 1 failed, 4 left" in shown


def test_elsewhere_there_are_plain_lines(cells: list[Cell]) -> None:
    view, written = view_on(terminal=False)
    with view.over(cells[:1], done=1):
        view.started(1, cells[0])
        view.step(1, cells[0], 3, 40, "loss 0.123")
        end(view, cells[0])
    assert written.getvalue().splitlines() == [
        f"cpu 2: {cells[0].title}",
        f"{cells[0].title}: DSC 0.5 (2 done, 0 failed, 0 left)",
    ]


@pytest.mark.parametrize("shown", ["view", "progress"])
def test_a_line_of_a_log_file_is_whole_and_as_it_was_said(shown: str) -> None:
    view, written = view_on(terminal=False, width=20)
    progress = Progress()
    progress.console = view.console
    line = "[1/9] DSC 0.675 in 104 s (110 done, 0 failed, 58 left, about 1:41:05) :brain:"
    (view if shown == "view" else progress).say(line)
    assert written.getvalue() == f"{line}\n"
