"""Leases say who works on a cell, and are not believed for longer than they deserve."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from ssl_bench.store import process as identity
from ssl_bench.store.lease import Lease, claimant, holder, release_of_dead
from ssl_bench.store.process import identity_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "leases" / "0123456789abcdef.json"


def move_clock(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() + seconds,) * 2)


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def dead() -> Iterator[dict[str, object]]:
    """What the lease of a process of this machine says that has ended; its number is not given to another meanwhile."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    named = asdict(identity_of(child.pid))
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    yield named
    child.wait()


def test_a_lease_names_its_holder_until_it_is_released(path: Path) -> None:
    assert holder(path) is None
    with Lease(path):
        found = holder(path)
        assert found is not None
        assert found.process == os.getpid()
        assert str(found).startswith(f"process {os.getpid()} on ")
    assert holder(path) is None
    assert not path.exists()


def test_a_lease_without_a_heartbeat_is_stale(path: Path) -> None:
    with Lease(path):
        rewrite(path, host="elsewhere")
        move_clock(path, -50)
        assert holder(path) is not None
        move_clock(path, -61)
        assert holder(path) is None


def test_a_clock_that_jumped_leaves_a_stale_lease(path: Path) -> None:
    with Lease(path):
        move_clock(path, +3600)
        assert holder(path) is None
        move_clock(path, -1e9)
        assert holder(path) is None


def test_the_age_is_told_by_the_clock_of_the_file_system(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e6)
    with Lease(path):
        assert holder(path) is not None


def test_the_lease_of_a_process_of_this_machine_that_died_is_stale_at_once(path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with Lease(path):
        rewrite(path, **asdict(identity_of(child.pid)))
        assert holder(path) is not None
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and a zombie
        assert holder(path) is None
        child.wait()
        assert holder(path) is None


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"host": "elsewhere"},
        {"boot": "a machine of the same name"},
        {"pid_namespace": "pid:[1]"},
        {"boot": None, "pid_namespace": None, "started": None},
        {"started": None},
    ],
    ids=["host", "boot", "container", "system or lease that does not tell", "start"],
)
def test_of_a_process_elsewhere_nobody_knows_that_it_died(
    elsewhere: dict[str, object], dead: dict[str, object], path: Path
) -> None:
    """Its number may be that of nobody here, or of somebody else."""
    with Lease(path):
        rewrite(path, **dead | elsewhere)
        assert holder(path) is not None
        release_of_dead(path)
        assert path.exists()
        move_clock(path, -61)
        assert holder(path) is None, "the heartbeat alone decides"


def test_a_number_that_was_used_again_is_not_the_holder(path: Path) -> None:
    with Lease(path):
        rewrite(path, started=json.loads(path.read_text())["started"] - 1)
        assert holder(path) is None


@pytest.mark.parametrize("numbers", [None, "1"], ids=["none", "of another pid namespace"])
def test_without_a_proc_of_its_own_nobody_knows_who_died(
    numbers: str | None, dead: dict[str, object], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "PROC", tmp_path / "proc")
    if numbers:
        for folder in ("1/ns", "sys/kernel/random", str(os.getpid())):
            (tmp_path / "proc" / folder).mkdir(parents=True)
        (tmp_path / "proc/self").symlink_to(numbers)
        (tmp_path / "proc/1/ns/pid").symlink_to(str(dead["pid_namespace"]))
        (tmp_path / "proc/sys/kernel/random/boot_id").write_text(str(dead["boot"]))
        (tmp_path / "proc" / str(os.getpid()) / "stat").write_text("7 (somebody else) Z" + " 0" * 30)
    with Lease(path):
        assert holder(path) is not None
        rewrite(path, **dead)
        assert holder(path) is not None


def test_a_living_holder_keeps_its_lease_fresh(path: Path) -> None:
    with Lease(path, heartbeat_seconds=0.01):
        move_clock(path, -1000)
        until(lambda: holder(path) is not None, "a heartbeat")


def test_the_newest_claim_counts(path: Path) -> None:
    with Lease(path, heartbeat_seconds=0.01) as first:
        assert not first.look()
        with Lease(path) as second:
            assert first.look()
            assert not second.look()
            move_clock(path, -1000)
            time.sleep(0.1)
            assert holder(path) is None, "the first kept the second's lease fresh"
            first.__exit__()
            assert path.exists(), "the first gave up what was not its own"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"host": "here", "process": "many", "since": 0}',
        '{"host": "here", "process": Infinity, "since": 0}',
    ],
)
def test_a_lease_that_does_not_read_is_nobodys(content: str, path: Path) -> None:
    with Lease(path) as lease:
        path.write_text(content)
        assert holder(path) is None
        rewrite_own = json.dumps({"token": lease.token})
        path.write_text(rewrite_own)
        assert not lease.look()


def test_a_lease_that_vanished_is_not_lost(path: Path) -> None:
    with Lease(path) as lease:
        path.unlink()
        assert not lease.look()


def test_a_heartbeat_notices_the_loss_and_asking_costs_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lease(path, heartbeat_seconds=0.01) as first, Lease(path):
        until(first.lost, "the loss")
        monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("looked at the file"))
        assert first.lost()
        monkeypatch.undo()


@pytest.mark.parametrize("seconds", [-7200, +7200])
def test_a_clock_that_jumps_does_not_take_a_cell_from_a_living_holder(seconds: float, path: Path) -> None:
    """For everybody who looks, the last heartbeat is hours away until the next one."""
    with Lease(path, heartbeat_seconds=0.1):
        for host in (socket.gethostname(), "elsewhere"):
            rewrite(path, host=host)
            move_clock(path, seconds)
            assert holder(path) is None
            found = claimant(path, watch_seconds=60)
            assert found is not None
            assert found.host == host


@pytest.mark.parametrize("seconds", [-7200, +7200])
def test_a_clock_that_jumped_keeps_no_dead_claim_alive(seconds: float, path: Path) -> None:
    with Lease(path):
        rewrite(path, host="elsewhere")
        move_clock(path, seconds)
        began = time.monotonic()
        assert claimant(path, watch_seconds=0.3) is None
        assert time.monotonic() - began >= 0.3, "claimed without a look at its heartbeat"


def test_the_dead_and_the_absent_are_not_watched(dead: dict[str, object], path: Path) -> None:
    assert claimant(path, watch_seconds=60) is None
    with Lease(path):
        assert claimant(path, watch_seconds=0) is not None
        rewrite(path, **dead)
        began = time.monotonic()
        assert claimant(path, watch_seconds=60) is None
        assert time.monotonic() - began < 30
        release_of_dead(path)
        assert not path.exists()


def test_only_the_lease_of_the_dead_is_removed(path: Path) -> None:
    with Lease(path):
        move_clock(path, -7200)
        release_of_dead(path)
        assert path.exists()


def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, f"{what} was not noticed"
        time.sleep(0.01)
