"""One worker process for each slot: what dies takes nothing with it, and the records are those of an inline run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from ssl_bench.errors import UserError
from ssl_bench.executors.cells.run_cell import CLAIMED_SECONDS
from ssl_bench.executors.cells.stopping import Stop
from ssl_bench.executors.inline import run_cells
from ssl_bench.executors.workers.scheduler import Limits, Scheduler
from ssl_bench.executors.workers.slots import WorkerProcess, cpu_slots, device_slots
from ssl_bench.planning.graph import with_pretrainings
from ssl_bench.planning.planner import Planner
from ssl_bench.store.lease import Lease
from ssl_bench.store.store import Store
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime

METHOD = """
import os, signal, time
from pathlib import Path
from ssl_bench.api.method import Method, MethodFacts

class Misbehaving(Method):
    facts = MethodFacts(
        title="{name}", paper="none", year=2026, version=1, paradigm="centroid-hidden", pretrains="encoder"
    )

    def training_step(self, volumes, draws):
        {misbehave}
        return {{"loss": self.backbone(volumes).global_[0].square().mean()}}
"""
MISBEHAVIOUR = {
    "aborts": "os.abort()",
    "is_killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "raises": "raise RuntimeError('no luck')",
    "refuses": "from ssl_bench.errors import UserError; raise UserError('--corpus: no longer there')",
    "hangs": "time.sleep(600)",
    "recovers": """
        first = not Path(__file__).with_suffix(".tried").exists()
        Path(__file__).with_suffix(".tried").touch()
        if first:
            print("about to abort", flush=True)
            os.abort()""",
    "is_asked_to_stop": """
        if not Path(__file__).with_suffix(".tried").exists():
            Path(__file__).with_suffix(".tried").touch()
            os.kill(os.getpid(), signal.SIGTERM)""",
}
MATRIX = [
    *("matrix", "--tasks", "ccc", "--protocols", "linear", "--preset", "smoke", "--precision", "float32"),
    *("--executor", "local", "--threads", "1"),
]


def plugin(folder: Path, name: str) -> Path:
    file = folder / f"{name}.py"
    file.write_text(METHOD.format(name=name, misbehave=MISBEHAVIOUR[name]))
    return file


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from ssl_bench.cli import main; main()", *map(str, arguments)]


class Ended(NamedTuple):
    process: subprocess.CompletedProcess[str]
    store: Store

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        found = json.loads(self.process.stdout)
        return {record["science"]["backbone"]["method"]: record for record in found}


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A matrix of methods that misbehave, and one that does not."""
    folder = tmp_path_factory.mktemp("eventful")
    names = ["aborts", "is_killed", "raises", "recovers", "is_asked_to_stop"]
    plugins = [part for name in names for part in ("--plugin", plugin(folder, name))]
    methods = ",".join([*names, "scratch"])
    call = command(*MATRIX, *plugins, "--methods", methods, "--workers", 2, "--json", "--results", folder / "results")
    return Ended(subprocess.run(call, capture_output=True, text=True, timeout=600), Store(folder / "results"))


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("aborts", "the process died of SIGABRT"),
        ("is_killed", "the process died of SIGKILL (out of memory?)"),
        ("raises", "RuntimeError: no luck"),
    ],
)
@pytest.mark.slow
def test_a_cell_whose_process_dies_is_a_failure_with_the_reason(eventful: Ended, method: str, reason: str) -> None:
    assert eventful.process.returncode == 1, eventful.process.stderr
    record = eventful.records[method]
    assert record["status"] == "failed"
    pretraining = record["reason"].removeprefix("RuntimeError: its pre-training ")
    assert pretraining.partition(" failed: ")[2].startswith(reason)
    failures = [failure for failure in eventful.store.failures() if failure.spec.method == method]
    assert {type(failure).__name__ for failure in failures} == {"PretrainingRecord", "EvaluationRecord"}


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "the process died of SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the process died of SIGKILL (out of memory?)"),
        ("os._exit(0)", "the process ended with exit code 0"),
        ("sys.exit(3)", "the process ended with exit code 3"),
    ],
)
@pytest.mark.slow
def test_every_way_to_die_is_told(end: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = WorkerProcess(cpu_slots(1, 1)[0], tmp_path, Runtime(), anew=False)
    monkeypatch.setattr(worker, "_arguments", [sys.executable, "-c", f"import os, signal, sys; {end}"])
    worker.start("0123456789abcdef")
    deadline = time.monotonic() + 60
    while not worker.has_died():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert worker.cause_of_death() == said
    worker.end()


class Dealt:
    """Cells of three methods dealt to workers that do nothing but end when they are told."""

    def __init__(self, workers: int, planner: Planner, store: Store) -> None:
        cells = [planner.evaluation(method, "ccc", "linear", 0) for method in ("denoising", "inpainting", "rotation")]
        view: Any = SimpleNamespace(started=lambda *_: None)
        self.scheduler = Scheduler(with_pretrainings(cells), {}, store, Runtime(), view, Limits(), Stop())
        idle: Any = SimpleNamespace(start=lambda key: None)
        self.scheduler.workers = [idle] * workers
        self.scheduler._deal()

    def end(self, number: int) -> None:
        record: Any = SimpleNamespace(status="ok")
        self.scheduler.ended[self.scheduler.running.pop(number).key] = record
        self.scheduler._deal()

    @property
    def running(self) -> dict[int, str]:
        return {number: job.cell.title.partition(",")[0] for number, job in self.scheduler.running.items()}


def test_half_of_the_workers_pretrain_first_while_the_others_complete_rows(planner: Planner, tmp_path: Path) -> None:
    dealt = Dealt(2, planner, Store(tmp_path))
    assert dealt.running == {0: "denoising pre-training", 1: "inpainting pre-training"}
    dealt.end(0)
    assert dealt.running[0] == "rotation pre-training"
    dealt.end(1)
    assert dealt.running[1] == "denoising ccc linear-v2"
    dealt.end(1)
    assert dealt.running == {0: "rotation pre-training", 1: "inpainting ccc linear-v2"}


def test_a_single_worker_takes_cells_in_their_order(planner: Planner, tmp_path: Path) -> None:
    dealt = Dealt(1, planner, Store(tmp_path))
    seen = []
    while dealt.scheduler.running:
        seen.append(dealt.running[0])
        dealt.end(0)
    assert seen == [
        f"{method} {kind}"
        for method in ("denoising", "inpainting", "rotation")
        for kind in ("pre-training", "ccc linear-v2")
    ]


@pytest.mark.slow
def test_a_worker_that_dies_takes_no_other_cell_with_it(eventful: Ended) -> None:
    assert eventful.records["scratch"]["status"] == "ok"


@pytest.mark.slow
def test_a_cell_whose_process_died_is_tried_again(eventful: Ended) -> None:
    assert eventful.records["recovers"]["status"] == "ok"
    assert "recovers pre-training, seed 0: the process died of SIGABRT" in eventful.process.stderr


@pytest.mark.slow
def test_a_worker_that_was_asked_to_stop_is_no_failure_and_its_cell_goes_on(eventful: Ended) -> None:
    assert eventful.records["is_asked_to_stop"]["status"] == "ok"
    assert not [each for each in eventful.store.failures() if each.spec.method == "is_asked_to_stop"]


@pytest.mark.slow
def test_what_a_cell_prints_is_in_its_log(eventful: Ended) -> None:
    logs = [file.read_text() for file in (eventful.store.folder / "logs").glob("*.log")]
    assert sum("about to abort" in log and "Fatal Python error: Aborted" in log for log in logs) == 1
    assert "about to abort" not in eventful.process.stdout + eventful.process.stderr
    raised = "in training_step\n    raise RuntimeError('no luck')\nRuntimeError: no luck"
    assert sum(raised in log for log in logs) == 1
    assert "Traceback" not in eventful.process.stderr


@pytest.mark.slow
def test_no_worker_outlives_the_scheduler_and_no_lease_its_cell(eventful: Ended) -> None:
    assert not list((eventful.store.folder / "leases").iterdir())


def test_a_cell_that_takes_too_long_is_a_failure(tmp_path: Path) -> None:
    given = ["--plugin", plugin(tmp_path, "hangs"), "--methods", "hangs", "--cell-timeout", 3, "--retries", 0]
    call = command(*MATRIX, *given, "--json", "--results", tmp_path / "results")
    process = subprocess.run(call, capture_output=True, text=True, timeout=600)
    assert process.returncode == 1, process.stderr
    (record,) = json.loads(process.stdout)
    assert "took longer than --cell-timeout 3" in record["reason"]


@pytest.mark.slow
def test_the_records_are_those_of_an_inline_run(eventful: Ended, planner: Planner, tmp_path: Path) -> None:
    cell = planner.evaluation("scratch", "ccc", "linear", 0)
    (inline,) = run_cells([cell], Store(tmp_path), Runtime("cpu", 1), Progress(shown=False))
    local = eventful.store.record(cell)
    assert local is not None
    assert local.model_dump(exclude={"cost", "provenance"}) == inline.model_dump(exclude={"cost", "provenance"})


@pytest.mark.parametrize("whom", ["scheduler", "group"])
@pytest.mark.slow
def test_a_signal_saves_every_running_cell_and_the_same_command_goes_on(whom: str, tmp_path: Path) -> None:
    """Ctrl-C reaches the workers as well as the scheduler, other signals may reach the scheduler alone."""
    slow = "--set=pretraining.steps=100000"
    call = command(*MATRIX, slow, "--methods", "denoising,rotation", "--workers", 2, "--results", tmp_path)
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        await_steps(tmp_path, 2)
        if whom == "group":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "the same command goes on where it stopped" in said
    assert len(list((tmp_path / "checkpoints").glob("*.pt"))) == 2
    assert not list((tmp_path / "leases").iterdir())


def await_steps(results: Path, cells: int) -> None:
    """Wait until so many cells are at work."""
    deadline = time.monotonic() + 300
    while len(list(results.glob("leases/*.json"))) < cells:
        assert time.monotonic() < deadline, "no cell began"
        time.sleep(0.2)


def test_a_cell_that_refuses_its_input_ends_the_run_with_one_line(tmp_path: Path) -> None:
    """As in an inline run: whatever is wrong with it is wrong with those that follow."""
    file = plugin(tmp_path, "refuses")
    call = command(*MATRIX, "--plugin", file, "--methods", "refuses,scratch", "--results", tmp_path / "results")
    process = subprocess.run(call, capture_output=True, text=True, timeout=600)
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1] == "ssl-bench: --corpus: no longer there"


def test_a_cell_that_another_process_works_on_comes_last(planner: Planner, tmp_path: Path) -> None:
    store = Store(tmp_path)
    theirs, free = (planner.evaluation("scratch", "ccc", protocol, 0) for protocol in ("linear", "finetune"))
    call = command(*MATRIX, "--protocols", "linear,finetune", "--methods", "scratch", "--results", tmp_path)
    with Lease(store.lease_path(theirs.key)):
        process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 300
        while not store.has_succeeded(free):
            assert time.monotonic() < deadline
            assert process.poll() is None, "it ended without the cell"
            time.sleep(0.1)
        assert not store.has_succeeded(theirs)
        # It is asked for again meanwhile.
        time.sleep(2.5 * CLAIMED_SECONDS)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.count(f"{theirs.title}: process {os.getpid()} on ") == 1
    assert said.count(f": {theirs.title}\n") == 1
    assert store.has_succeeded(theirs)


def test_the_cores_are_divided_among_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl_bench.executors.workers.slots.usable_cores", lambda: 7)
    assert [slot.threads for slot in cpu_slots(3, None)] == [2, 2, 2]
    assert [slot.threads for slot in cpu_slots(8, None)] == [1] * 8
    assert [slot.threads for slot in cpu_slots(2, 5)] == [5, 5]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, ["1", "0"]), ("", ["1", "0"]), ("4,7", ["7", "4"]), ("GPU-a,GPU-b", ["GPU-b", "GPU-a"])],
)
def test_a_slot_gets_exactly_its_device(
    visible: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    slots = device_slots(["cuda:1", "cuda:0"], None)
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots] == expected
    assert {slot.device for slot in slots} == {"cuda"}


@pytest.mark.parametrize("device", ["cuda:2", "cuda:x", "cpu", "gpu"])
def test_a_device_that_is_not_there_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(UserError, match=f"--devices {device}: "):
        device_slots([device], None)
