"""Fixtures that several tests share."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Tests run beside each other, in processes with two threads at times: threads that spin while they wait for each other
# would slow everything down several times. To be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import pytest
import torch

from ssl_bench.api.registry import REGISTRIES
from ssl_bench.api.settings import load_preset
from ssl_bench.cli import main
from ssl_bench.planning.planner import Planner
from ssl_bench.training.runtime import Runtime

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["torch", "monai.metrics", "sklearn.metrics", "ssl_bench.training.evaluation"])
"""Of which each has all that takes seconds to import."""

NOT_FAST = (
    *("chaos", "benchmarks/test_quick.py", "conformance", "training", "cli", "executors"),
    *("api/test_plugins.py", "api/test_throwaway_plugins.py", "gpu", "slurm", "report/pictures", "pinned"),
    *(f"data/synthetic/test_{name}.py" for name in ("coronary", "covid", "growth")),
    *(f"data/preprocessing/test_{name}.py" for name in ("parallel", "preparing_trouble")),
    *("benchmarks/test_corruption_reference.py", "methods/test_gvsl.py", "transforms/test_corruption.py"),
    *("weights/test_genesis.py", "weights/test_released.py", "tuning/test_trials.py"),
)
"""Folders and files of tests that train, grow volumes, draw, start processes or take seconds. They begin first."""
NOT_FAST_FIXTURES = {"command", "planner", "runtime"}
"""With which a test does the same elsewhere."""
LEFT_OUT = {"slow", "exhaustive", "gpu", "slurm", "browser", "latex"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as fast whatever is not known to take long, so that a new test of small things is fast by itself.

    The long ones come first: no process of the suite waits for another's last file.
    """
    long = [Path(__file__).parent / place for place in NOT_FAST]
    items.sort(
        key=lambda item: next((place for place, at in enumerate(long) if item.path.is_relative_to(at)), len(long))
    )
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        used = set(getattr(item, "fixturenames", ()))
        if not (marks & LEFT_OUT or used & NOT_FAST_FIXTURES or any(map(item.path.is_relative_to, long))):
            item.add_marker(pytest.mark.fast)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One cache of grown volumes for the whole session, never the user's; CI may name one to share."""
    base = tmp_path_factory.getbasetemp()
    # Workers of pytest-xdist have a folder each, in one that they share.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ.setdefault("SSL_BENCH_CACHE", str(shared / "cache"))


@pytest.fixture(autouse=True)
def _results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test writes into the results of whoever runs it."""
    monkeypatch.setenv("SSL_BENCH_RESULTS", str(tmp_path / "results"))


@pytest.fixture
def fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins that a test registers are gone after it."""
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "files", dict(registry.files))
        monkeypatch.setattr(registry, "_given", dict(registry._given))


@pytest.fixture
def runtime() -> Runtime:
    torch.set_num_threads(2)
    return Runtime("cpu", 2)


@pytest.fixture
def planner() -> Planner:
    """Cells of the smoke preset."""
    return Planner(load_preset("smoke"), [], "float32")


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``ssl-bench`` as a user does, in an empty folder and a process of its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        out, err = tmp_path.parent / f"{tmp_path.name}.stdout", tmp_path.parent / f"{tmp_path.name}.stderr"
        process = _PROCESSES.Process(target=_as_a_user, args=(arguments, tmp_path, dict(os.environ), out, err))
        process.start()
        process.join(300)
        process.kill()
        process.join()
        assert process.exitcode is not None
        said = (file.read_text("utf-8") for file in (out, err))
        return subprocess.CompletedProcess(["ssl-bench", *arguments], process.exitcode, *said)

    return run


def _as_a_user(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    for stream, path in ((1, out), (2, err)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["ssl-bench", *arguments]
    try:
        main()
    finally:
        atexit._run_exitfuncs()  # which processes of this kind leave out
