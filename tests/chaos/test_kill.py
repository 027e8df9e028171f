"""A matrix that is killed again and again ends with the results of one that never was."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ssl_bench.executors.inline import run_cells
from ssl_bench.planning.graph import with_pretrainings
from ssl_bench.planning.planner import Planner
from ssl_bench.store.lease import holder
from ssl_bench.store.store import Store
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime

METHODS, TASKS, PROTOCOLS = ("denoising", "simsiam", "scratch"), ("shc", "ccc"), ("linear", "finetune")


KILLS, SEEDS = 20, 4


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bits(planner: Planner, tmp_path: Path) -> None:
    expected, store = Store(tmp_path / "undisturbed"), Store(tmp_path / "killed")
    cells = [
        planner.evaluation(method, task, protocol, seed)
        for seed in range(SEEDS)
        for method in METHODS
        for task in TASKS
        for protocol in PROTOCOLS
    ]
    run_cells(cells, expected, Runtime("cpu", 1), Progress(shown=False))
    draws = random.Random(KILLS)
    hits = sum(run(store, kill_after=draws.uniform(0, 2), alone=number % 3 == 1) for number in range(KILLS))
    assert hits >= KILLS // 2, "the matrix ended before it could be killed often"
    run(store)

    graph = with_pretrainings(cells)
    for cell in graph:
        record, undisturbed = store.record(cell), expected.record(cell)
        assert record is not None
        assert undisturbed is not None
        unlike = {"cost", "provenance"}
        assert record.model_dump(exclude=unlike) == undisturbed.model_dump(exclude=unlike), cell.title
    for cell in graph:
        if cell.kind == "pretraining":
            ours, theirs = (load_file(each.backbone_path(cell.key)) for each in (store, expected))
            assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert Counter(record.key for record in store.records()) == {cell.key: 1 for cell in graph}
    assert not list(store.failures())
    assert not list(store.folder.glob("checkpoints/*.pt"))
    # A process that is killed right after it published leaves its lease, which is nobody's claim any more.
    assert not [lease for lease in store.folder.glob("leases/*.json") if holder(lease)]


def run(store: Store, kill_after: float | None = None, alone: bool = False) -> bool:
    """Run the matrix to its end; or kill it that many seconds after its first cell began, the scheduler `alone`.

    Whether it was alive to be killed.
    """
    arguments = [
        *("--methods", ",".join(METHODS), "--tasks", ",".join(TASKS), "--protocols", ",".join(PROTOCOLS)),
        *("--seeds", f"0-{SEEDS - 1}", "--preset", "smoke", "--precision", "float32", "--threads", "1"),
        *("--executor", "local", "--workers", "2", "--checkpoint-seconds", "0", "--results", str(store.folder)),
    ]
    call = [sys.executable, "-c", "from ssl_bench.cli import main; main()", "matrix", *arguments]
    before = set(store.folder.glob("leases/*.json"))
    process = subprocess.Popen(call, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        if kill_after is None:
            _, said = process.communicate(timeout=600)
            assert process.returncode == 0, said
            return False
        deadline = time.monotonic() + 300
        while process.poll() is None and set(store.folder.glob("leases/*.json")) <= before:
            assert time.monotonic() < deadline, "no cell began"
            time.sleep(0.05)
        time.sleep(kill_after)
        alive = process.poll() is None
        if alive:
            os.kill(process.pid, signal.SIGKILL) if alone else os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=600)  # Workers keep the pipe open: it ends when they do.
        return alive
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
