"""What is recorded of where a cell ran."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from ssl_bench.api.rng import seeded_initialisation
from ssl_bench.training.runtime import Runtime, Stopwatch, make_fabric, provenance, resolve_precision, usable_cores

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_commit_of_the_checkout_is_recorded() -> None:
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    commit = provenance(Runtime("cpu", 1), "float32")["commit"]
    assert isinstance(commit, str)
    assert head.stdout.strip().startswith(commit.removesuffix("+changes"))


PEAKS = """
import subprocess, sys
from ssl_bench.training.runtime import peak_of_process

before = peak_of_process()
if len(sys.argv) > 1:
    held = b"1" * int(sys.argv[1])
    subprocess.run([sys.executable, "-c", sys.stdin.read()], check=True)
print(peak_of_process() - before if len(sys.argv) > 1 else before, flush=True)
"""


def test_the_peak_of_a_process_is_not_that_of_the_one_that_started_it() -> None:
    command = [sys.executable, "-c", PEAKS, str(300 << 20)]
    output = subprocess.run(command, input=PEAKS, capture_output=True, text=True, check=True).stdout
    child, grown = map(int, output.split())
    assert child < 200 << 20
    assert grown == pytest.approx(300 << 20, rel=0.05)


def test_auto_precision_is_resolved_and_an_explicit_one_kept() -> None:
    assert resolve_precision("auto", "cpu") in ("float32", "bf16")
    assert resolve_precision("float32", "cpu") == "float32"


def test_seeded_initialisation_repeats_and_leaves_the_global_state() -> None:
    before = torch.get_rng_state()
    with seeded_initialisation(3):
        first = torch.rand(4)
    with seeded_initialisation(3):
        second = torch.rand(4)
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


FAULTS = """
import resource, sys, torch
from ssl_bench.training.runtime import Runtime, make_fabric

make_fabric(Runtime("cpu", 1, checkpointing=sys.argv[1] == "checkpointing"), "float32")
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Prints how many pages of memory the system gave anew for 8 tensors of 64 MiB, one after the other."""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="of glibc")
@pytest.mark.parametrize("asked_for", ["speed", "checkpointing"])
def test_memory_of_freed_tensors_is_used_again_unless_less_memory_is_asked_for(asked_for: str) -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS, asked_for], capture_output=True, text=True, check=True)
    assert (int(done.stdout) < 2**24 * 4 / resource.getpagesize()) == (asked_for == "speed")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="of glibc")
def test_a_thread_that_is_not_the_main_one_may_have_large_tensors() -> None:
    make_fabric(Runtime("cpu", 1), "float32")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: int(torch.ones(2**27, dtype=torch.uint8).sum())).result() == 2**27


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="of Linux")
def test_cores_that_the_process_may_not_use_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6, "where the system does not say, all of the machine's"


def test_a_cell_costs_what_its_attempts_have_taken_together() -> None:
    before = {"wall_seconds": 100.0, "device_seconds": 200.0, "processor_seconds": 50.0, "peak_process_mib": 1e6}
    watch, resumed = Stopwatch(Runtime("cpu", 1, ranks=("cpu", "cpu"))), Stopwatch(Runtime("cpu", 1), before)
    # Of the processor, which others may use too.
    start = time.process_time()
    while time.process_time() - start < 0.06:
        pass
    cost, total = watch.read(), resumed.read()
    assert set(cost) == set(total) == set(before)
    assert 0.05 <= cost["wall_seconds"] < 5
    assert cost["device_seconds"] == pytest.approx(2 * cost["wall_seconds"], abs=0.002), "of two ranks"
    assert 0.01 < cost["processor_seconds"] < 5
    # The kernel adds pages up in batches, so that a peak that is read later may be a little lower.
    assert 50 < cost["peak_process_mib"] <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 + 1
    assert 100.05 <= total["wall_seconds"] < 105
    assert 200.05 <= total["device_seconds"] < 205
    assert 50.01 < total["processor_seconds"] < 55
    assert total["peak_process_mib"] == 1e6, "a peak is no sum"
