"""``ssl-bench status`` tells from files alone how the planned cells stand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ssl_bench.cli import app
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.outcomes import failure
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.store.lease import Lease
from ssl_bench.store.store import Store
from ssl_bench.training.runtime import Runtime


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def cell(store: Store, planner: Planner) -> Cell:
    cell = planner.pretraining("denoising", 0)
    store.plan(cell)
    return cell


@pytest.fixture
def status(store: Store) -> Callable[[], tuple[str, str]]:
    """The state of the one cell of the store and what is said about it."""

    def ask() -> tuple[str, str]:
        done = CliRunner().invoke(app, ["status", "--json", "--results", str(store.folder)])
        assert done.exit_code == 0, done.output
        (found,) = json.loads(done.stdout)
        return found["state"], found["detail"]

    return ask


def test_a_planned_cell_is_to_do(cell: Cell, status: Callable[[], tuple[str, str]]) -> None:
    assert status() == ("to do", "")


def test_a_cell_that_someone_works_on_is_running(
    cell: Cell, store: Store, status: Callable[[], tuple[str, str]]
) -> None:
    with Lease(store.lease_path(cell.key)):
        state, detail = status()
        assert state == "running"
        assert detail.startswith(f"process {os.getpid()} on ")
        os.utime(store.lease_path(cell.key), (0, 0))
        assert status() == ("to do", ""), "its heartbeat has stopped"


def test_a_cell_with_a_checkpoint_is_interrupted(
    cell: Cell, store: Store, status: Callable[[], tuple[str, str]]
) -> None:
    store.checkpoint_path(cell.key).parent.mkdir()
    store.checkpoint_path(cell.key).touch()
    os.utime(store.checkpoint_path(cell.key), (86400, 86400))
    assert status() == ("interrupted", "goes on from its checkpoint of 1970-01-02 00:00:00 UTC")


def test_a_failed_cell_says_why_it_failed_last(cell: Cell, store: Store, status: Callable[[], tuple[str, str]]) -> None:
    for seconds, reason in ((2000, "second"), (1000, "first")):
        before = set(store.folder.rglob("*.failed-*"))
        store.publish(cell, failure(cell, Runtime(), reason))
        (file,) = set(store.folder.rglob("*.failed-*")) - before
        os.utime(file, (seconds, seconds))
    assert status() == ("failed", "second")


def test_a_done_cell_is_done_whatever_else_lies_there(
    cell: Cell, store: Store, status: Callable[[], tuple[str, str]]
) -> None:
    record = failure(cell, Runtime(), "no luck")
    store.publish(cell, record)
    store.publish(cell, record.model_copy(update={"status": "ok"}))
    with Lease(store.lease_path(cell.key)):
        assert status() == ("done", "")


def test_the_summary_counts_and_lists_what_needs_attention(store: Store, planner: Planner) -> None:
    to_do, failed = (planner.evaluation("scratch", "shc", name, 0) for name in ("linear", "finetune"))
    for each in (to_do, failed):
        store.plan(each)
    store.publish(failed, failure(failed, Runtime(), "no luck"))
    said = CliRunner().invoke(app, ["status", "--results", str(store.folder)]).stdout.splitlines()
    assert said == [
        f"{failed.key}  failed       scratch shc finetune-v2, seed 0: no luck",
        "2 cells: 0 done, 0 running, 0 queued, 0 interrupted, 1 failed, 1 to do",
    ]


@pytest.fixture
def squeue(cell: Cell, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A ``squeue`` on the PATH that runs a line of shell; the cell was submitted as task 7 of array 41."""
    (store.folder / "slurm").mkdir()
    (store.folder / "slurm" / "array-41.json").write_text(json.dumps({"41_7": cell.key}))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def say(line: str) -> None:
        (tmp_path / "squeue").write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / "squeue").chmod(0o755)

    return say


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("41_7|PENDING|Priority", ("queued", "SLURM job 41_7 pending (Priority)")),
        ("41_7|PENDING|(Dependency)", ("queued", "SLURM job 41_7 pending ((Dependency))")),
        ("41_7|RUNNING|None", ("queued", "SLURM job 41_7 running")),
        ("41_8|PENDING|Priority", ("to do", "")),
        ("", ("to do", "")),
        ("a line that nobody expects", ("to do", "")),
    ],
)
def test_a_cell_in_the_queue_of_slurm_is_queued(
    listed: str, expected: tuple[str, str], squeue: Callable[[str], None], status: Callable[[], tuple[str, str]]
) -> None:
    squeue(f"echo '{listed}'")
    assert status() == expected


def test_the_records_decide_what_is_done_and_the_leases_what_runs(
    cell: Cell, store: Store, squeue: Callable[[str], None], status: Callable[[], tuple[str, str]]
) -> None:
    squeue("echo '41_7|RUNNING|None'")
    with Lease(store.lease_path(cell.key)):
        state, detail = status()
        assert state == "running"
        assert detail.startswith("SLURM job 41_7 running; process ")
    store.publish(cell, failure(cell, Runtime(), "no luck"))
    assert status() == ("queued", "SLURM job 41_7 running; no luck")
    store.publish(cell, failure(cell, Runtime(), "").model_copy(update={"status": "ok"}))
    assert status() == ("done", "")


@pytest.mark.parametrize("line", ["echo 'slurm_load_jobs error: no route' >&2; exit 1", "exec sleep 60"])
def test_a_queue_that_does_not_answer_is_told_and_the_records_speak(
    line: str, squeue: Callable[[str], None], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssl_bench.executors.cluster.queue.ANSWER_SECONDS", 0.5)
    squeue(line)
    done = CliRunner().invoke(app, ["status", "--results", str(store.folder)])
    assert done.exit_code == 0
    assert "1 cells: 0 done, 0 running, 0 queued, 0 interrupted, 0 failed, 1 to do" in done.stdout
    (said,) = done.stderr.splitlines()
    assert said.startswith("ssl-bench: squeue: ")
    assert said.endswith("told from the records alone")


def test_nobody_asks_a_queue_that_nothing_was_submitted_to(
    store: Store, squeue: Callable[[str], None], status: Callable[[], tuple[str, str]], tmp_path: Path
) -> None:
    squeue(f"touch {tmp_path / 'asked'}")
    (store.folder / "slurm" / "array-41.json").unlink()
    assert status() == ("to do", "")
    assert not (tmp_path / "asked").exists()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["status", "--results", str(tmp_path / "nowhere")])
    assert isinstance(done.exception, UserError)
    assert "nowhere: no such folder" in str(done.exception)
