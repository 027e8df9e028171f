"""Whoever is asked to stop ends in order; whoever finds another at work leaves the cell to them."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ssl_bench.cli import main
from ssl_bench.executors import inline
from ssl_bench.executors.cells import run_cell as run_cell_module
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.executors.cells.stopping import stop_by_signal
from ssl_bench.executors.inline import run_cells
from ssl_bench.methods.denoising import Denoising
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import AnyRecord
from ssl_bench.store.lease import Lease
from ssl_bench.store.store import Store
from ssl_bench.training.attempt import Stopped, TakenOver
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime

SILENT = Progress(shown=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Let something happen within the given step of the pre-training of `denoising`, and never again."""

    def arrange(step: int, happen: Callable[[], None]) -> None:
        happened: list[int] = []

        def instead(self: Denoising, done: int, steps: int) -> None:
            if done + 1 == step and not happened:
                happened.append(step)
                happen()

        monkeypatch.setattr(Denoising, "after_step", instead)

    return arrange


def scores(record: AnyRecord) -> dict[str, object]:
    return {k: v for k, v in record.model_dump(mode="json").items() if k not in ("cost", "provenance")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_ends_the_cell_after_its_step_and_the_next_run_goes_on(
    number: signal.Signals, store: Store, planner: Planner, runtime: Runtime, tmp_path: Path,
    at_step: Callable[[int, Callable[[], None]], None],
) -> None:  # fmt: skip
    cell = planner.pretraining("denoising", 0)
    expected = run_cell(cell, Store(tmp_path / "undisturbed"), runtime, SILENT)
    at_step(3, lambda: os.kill(os.getpid(), number))
    handler = signal.getsignal(number)
    with pytest.raises(Stopped, match=number.name):
        run_cells([cell], store, runtime, SILENT)
    assert torch.load(store.checkpoint_path(cell.key), weights_only=True)["state"]["step"] == 3
    assert store.record(cell) is None
    assert not store.lease_path(cell.key).exists()
    assert signal.getsignal(number) is handler
    (resumed,) = run_cells([cell], store, runtime, SILENT)
    assert scores(resumed) == scores(expected)


def test_a_stop_ends_the_matrix_and_not_only_its_cell(
    store: Store, planner: Planner, runtime: Runtime, at_step: Callable[[int, Callable[[], None]], None]
) -> None:
    cells = [planner.pretraining("denoising", seed) for seed in (0, 1)]
    at_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped):
        run_cells(cells, store, runtime, SILENT)
    assert not store.checkpoint_path(cells[1].key).exists()


def test_the_second_ctrl_c_stops_now(
    store: Store, planner: Planner, runtime: Runtime, at_step: Callable[[int, Callable[[], None]], None]
) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    cell = planner.pretraining("denoising", 0)
    at_step(2, twice)
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell, store, runtime, SILENT)
    assert not store.checkpoint_path(cell.key).exists()


def test_a_stop_asked_for_another_reason_is_no_first_ctrl_c() -> None:
    with stop_by_signal() as stop:
        stop.ask("the scheduler has ended")
        signal.raise_signal(signal.SIGINT)
    assert stop.reason == "the scheduler has ended"


def test_a_cell_runs_where_signals_cannot_be_received(store: Store, planner: Planner, runtime: Runtime) -> None:
    records: list[AnyRecord] = []
    cell = planner.evaluation("scratch", "ccc", "linear", 0)
    thread = threading.Thread(target=lambda: records.append(run_cell(cell, store, runtime, SILENT)))
    thread.start()
    thread.join()
    assert [record.status for record in records] == ["ok"]


def test_an_interrupted_command_says_so_and_exits_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    at_step: Callable[[int, Callable[[], None]], None],
) -> None:  # fmt: skip
    at_step(1, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    arguments = ["run", "--method", "denoising", "--task", "shc", "--preset", "smoke", "--quiet"]
    monkeypatch.setattr("sys.argv", ["ssl-bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert "interrupted; the same command goes on where it stopped" in capsys.readouterr().err


def test_an_attempt_that_was_taken_over_keeps_nothing(
    store: Store, planner: Planner, runtime: Runtime, at_step: Callable[[int, Callable[[], None]], None]
) -> None:
    cell = planner.pretraining("denoising", 0)
    other = Lease(store.lease_path(cell.key))
    at_step(2, lambda: other.__enter__() and None)
    with pytest.raises(TakenOver):
        run_cell(cell, store, runtime, SILENT)
    assert store.record(cell) is None
    assert not store.backbone_path(cell.key).exists()
    assert not store.checkpoint_path(cell.key).exists()
    assert json.loads(store.lease_path(cell.key).read_text())["token"] == other.token
    other.__exit__()


def test_a_result_that_comes_after_the_takeover_is_dropped(
    store: Store, planner: Planner, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = planner.evaluation("scratch", "shc", "linear", 0)
    other, run = Lease(store.lease_path(cell.key)), run_cell_module._run
    monkeypatch.setattr(run_cell_module, "_run", lambda *rest: (run(*rest), other.__enter__())[0])
    with pytest.raises(TakenOver, match="another process has taken it over"):
        run_cell(cell, store, runtime, SILENT)
    assert store.record(cell) is None
    assert not list(store.examples_path(cell.key).parent.iterdir())
    other.__exit__()


def test_a_cell_that_another_works_on_comes_last_and_runs_once_their_lease_ends(
    store: Store, planner: Planner, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    leased, rests_on_it, free = (
        planner.pretraining("denoising", 0),
        planner.evaluation("denoising", "ccc", "linear", 0),
        planner.evaluation("scratch", "ccc", "linear", 0),
    )
    order: list[str] = []
    publish = Store.publish

    def noting(self: Store, cell: object, record: AnyRecord, *rest: object) -> bool:
        order.append(record.key)
        return publish(self, cell, record, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "publish", noting)
    with Lease(store.lease_path(leased.key)) as other:
        monkeypatch.setattr(inline.time, "sleep", lambda _: other.__exit__())
        run_cells([leased, rests_on_it, free], store, runtime, SILENT)
    assert order == [free.key, leased.key, rests_on_it.key]


def test_a_cell_that_another_ends_meanwhile_is_taken_from_the_store(
    store: Store, planner: Planner, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = planner.evaluation("scratch", "ccc", "linear", 0)
    theirs = run_cell(cell, Store(tmp_path / "theirs"), runtime, SILENT)
    monkeypatch.setattr(run_cell_module, "_run", lambda *_: pytest.fail("ran a cell that another had ended"))
    with Lease(store.lease_path(cell.key)):
        # They publish before they release: the record counts although the lease is still there.
        monkeypatch.setattr(inline.time, "sleep", lambda _: store.publish(cell, theirs))
        assert run_cells([cell], store, runtime, SILENT) == [theirs]
