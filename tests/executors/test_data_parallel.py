"""One pre-training on two processes is the pre-training of one process with the whole batch."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from typer.testing import CliRunner

from ssl_bench.api.registry import METHODS, add_plugin_file
from ssl_bench.api.settings import load_preset
from ssl_bench.cli import app
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.data_parallel import _watch
from ssl_bench.executors.cells.rank_process import GO_ON, STOP, Line, RankAttempt
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.executors.cells.stopping import Stop
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import PretrainingRecord
from ssl_bench.store.lease import Lease
from ssl_bench.store.store import Store
from ssl_bench.training import pretraining
from ssl_bench.training.attempt import Attempt, Stopped, TakenOver, confirm_claim
from ssl_bench.training.pretraining import build_backbone, pretrain
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, make_fabric, resolve_ranks, usable_cores

SILENT = Progress(shown=False)
ALONE, TOGETHER = Runtime("cpu", 1), Runtime("cpu", 1, ranks=("cpu", "cpu"))
COUPLED = ("byol", "deepcluster", "gvsl", "simclr")
"""Batch norm and a moving target, clusters, pairs, negatives: what could go wrong does so here."""
OTHERS = tuple(name for name in METHODS.names() if name not in (*COUPLED, "scratch"))
PARAMETERS = [
    *COUPLED,
    *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS),
]
SETTINGS = ("pretraining.steps=3", "pretraining.batch=4", "pretraining.watch_every=3", "cohort.corpus=8")
# Plain descent: Adam and clipping would hide a gradient that is too large by the number of processes.
DESCENT = (
    "pretraining.optimiser.name=sgd",
    "pretraining.optimiser.learning_rate=0.001",
    "pretraining.optimiser.gradient_clip=0",
    # Its gradient is thousands of times theirs, since it normalises features that are all but alike at a random start.
    # At 0.001 it jumps over the minimum (losses 163, 133, 169), and rounding grows into 0.056 of the weights' way.
    "methods.barlow_twins.learning_rate=1e-6",
)

Both = tuple[PretrainingRecord, PretrainingRecord, Path, Path]
"""Records and weights of one process, and of two that share each batch."""


def pretrain_all(fabric: Any, cells: list[Cell], runtime: Runtime, folder: Path) -> list[str]:
    """Every one of `cells` on the ranks of `fabric`: their records, and their weights in `folder`."""
    weights = [folder / f"{cell.spec.method}.safetensors" for cell in cells]
    return [
        record.model_dump_json() if (record := pretrain(fabric, cell, runtime, SILENT, path, Attempt())) else ""
        for cell, path in zip(cells, weights, strict=True)
    ]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Both]:
    """Pre-trainings by method, those of a group at once, since processes start slowly."""

    @cache
    def group(names: tuple[str, ...]) -> dict[str, Both]:
        planner = Planner(load_preset("smoke", [*SETTINGS, *DESCENT]), [], "float32")
        cells = [planner.pretraining(name, 0) for name in names]
        one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
        alone = pretrain_all(make_fabric(ALONE, "float32"), cells, ALONE, one)
        fabric = make_fabric(TOGETHER, "float32")
        together = fabric.launch(partial(pretrain_all, cells=cells, runtime=TOGETHER, folder=two))
        read = PretrainingRecord.model_validate_json
        return {
            name: (read(a), read(b), one / f"{name}.safetensors", two / f"{name}.safetensors")
            for name, a, b in zip(names, alone, together, strict=True)
        }

    return lambda method: group(COUPLED if method in COUPLED else OTHERS)[method]


@pytest.mark.parametrize("method", PARAMETERS)
def test_two_processes_see_the_losses_of_one_with_the_whole_batch(method: str, both: Callable[[str], Both]) -> None:
    alone, together, *_ = both(method)
    # Batch norm over pooled features of so few volumes magnifies rounding: in the third step by 1.1e-5 for SimSiam and
    # 1.5e-3 for SimCLR, whose third loss also moves by 2.6e-3 where one process starts from weights changed by 6e-8.
    near = {"simsiam": 3e-5, "simclr": 5e-3}.get(method, 1e-5)
    assert together.loss_curve == pytest.approx(alone.loss_curve, rel=1e-5, abs=near)
    assert together.loss_curve[:1] == pytest.approx(alone.loss_curve[:1], rel=1e-5, abs=1e-5)
    # Only the first evaluation is of the same weights: batch norm over two held-out volumes magnifies any difference.
    assert together.held_out_curve[:1] == [pytest.approx(look, abs=1e-5) for look in alone.held_out_curve[:1]]
    assert together.spec == alone.spec


@pytest.mark.parametrize("method", PARAMETERS)
def test_two_processes_move_the_weights_as_one_does(method: str, both: Callable[[str], Both]) -> None:
    record, _, one, two = both(method)
    start = build_backbone(record.spec.width, 0).state_dict()
    alone, together = (flat(load_file(file)) - flat(start) for file in (one, two))
    # Batch norm over so few volumes magnifies rounding, 0.012 for SimSiam, 0.018 for SimCLR; others stay below 0.002.
    near = {"simsiam": 0.04, "simclr": 0.04}.get(method, 0.01)
    assert float((together - alone).norm() / alone.norm()) < near


def test_only_the_first_rank_looks_at_what_was_learned(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretraining, "rank", lambda: 1)
    monkeypatch.setattr(pretraining, "collapse_of_backbone", lambda *_: pytest.fail("the second rank looked too"))
    cell, weights = planner.pretraining("denoising", 0), tmp_path / "weights"
    assert pretrain(make_fabric(ALONE, "float32"), cell, ALONE, SILENT, weights, Attempt()) is None
    assert not weights.exists()


@pytest.fixture
def line() -> Line:
    """Between ranks and their parent, all in this process."""
    return Line(queue.Queue(), SimpleNamespace(value=GO_ON), SimpleNamespace(value=0), os.getpid())


def test_a_rank_that_finds_its_cell_taken_saves_no_state_and_all_stop_after_the_next_step(
    line: Line, tmp_path: Path
) -> None:
    """The heartbeat may not have noticed yet: whoever writes looks for themselves."""
    saved, ours = tmp_path / "state.pt", Lease(tmp_path / "lease.json")
    confirm = pickle.loads(pickle.dumps(partial(confirm_claim, ours.path, ours.token)))
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        with ours:
            attempt = RankAttempt(saved, 0.0, None, confirm, line, make_fabric(ALONE, "float32"))
            attempt.step_done(lambda: {"step": 1}, dict)
            with Lease(ours.path):
                attempt.step_done(lambda: {"step": 2}, dict)
                assert torch.load(saved)["state"] == {"step": 1}
                with pytest.raises(TakenOver):
                    attempt.step_done(lambda: {"step": 3}, dict)
                assert torch.load(saved)["state"] == {"step": 1}
    finally:
        dist.destroy_process_group()


def test_ranks_that_are_told_to_stop_save_their_state_first(line: Line, tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        fabric = make_fabric(ALONE, "float32")
        attempt = RankAttempt(tmp_path / "state.pt", 1e9, None, lambda: None, line, fabric)
        attempt.step_done(lambda: {"step": 1}, dict)
        line.order.value = STOP
        with pytest.raises(Stopped, match="told to stop"):
            attempt.step_done(lambda: {"step": 2}, dict)
        assert torch.load(tmp_path / "state.pt")["state"] == {"step": 2}
    finally:
        dist.destroy_process_group()


def test_ranks_that_noticed_a_takeover_first_end_the_attempt(line: Line) -> None:
    line.stopped.value = 1
    with pytest.raises(TakenOver, match="another process has taken it over"):
        _watch(lambda: None, line, lambda words: None, Attempt())


def flat(weights: dict[str, Tensor]) -> Tensor:
    return torch.cat([weights[name].flatten() for name in sorted(weights)]).double()


@pytest.fixture(scope="module")
def planned() -> Cell:
    settings = ["pretraining.steps=6", "pretraining.batch=4", "pretraining.watch_every=3"]
    return Planner(load_preset("smoke", settings), [], "float32").pretraining("gvsl", 0)


class Told(Progress):
    """Asks for a stop when so many steps are done."""

    def __init__(self, stop: Stop, after: int) -> None:
        super().__init__(shown=False)
        self.stop, self.left = stop, after

    @contextmanager
    def track(self, title: str, steps: int) -> Iterator[Callable[[str], None]]:
        def advance(words: str) -> None:
            self.left -= 1
            if self.left == 0:
                self.stop.ask("the test says so")

        yield advance


@pytest.mark.slow
def test_processes_that_are_told_to_stop_leave_a_state_that_they_resume_from(planned: Cell, tmp_path: Path) -> None:
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    expected = run_cell(planned, whole, TOGETHER, SILENT)
    assert expected.status == "ok", expected.reason
    stop = Stop()
    with pytest.raises(Stopped, match="the test says so"):
        run_cell(planned, broken, TOGETHER, Told(stop, after=2), stop=stop)
    assert broken.checkpoint_path(planned.key).exists()
    resumed = run_cell(planned, broken, TOGETHER, SILENT)
    assert isinstance(expected, PretrainingRecord)
    assert isinstance(resumed, PretrainingRecord)
    assert resumed.loss_curve == expected.loss_curve
    assert resumed.provenance["ranks"] == 2


@pytest.mark.slow
def test_a_process_that_dies_fails_the_cell_and_takes_the_others_with_it(
    planned: Cell, tmp_path: Path, fresh_registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASTER_PORT", raising=False)  # other tests launch without the engine, which leaves one
    plugin = tmp_path / "dying.py"
    plugin.write_text(DYING)
    add_plugin_file(plugin)
    cell = Planner(load_preset("smoke", ["pretraining.batch=2"]), [], "float32").pretraining("dying", 0)
    record = run_cell(cell, Store(tmp_path / "results"), TOGETHER, SILENT)
    assert record.status == "failed"
    assert "terminated" in (record.reason or "")
    assert "MASTER_PORT" not in os.environ
    assert not multiprocessing.active_children()


DYING = """
import os

from ssl_bench.api.method import MethodFacts
from ssl_bench.methods.denoising import Denoising
from ssl_bench.nn.distributed import rank


class Dying(Denoising):
    facts = MethodFacts("Dying", "none", 2026, 1, "centroid-hidden", "encoder and decoder")

    def training_step(self, volumes, draws):
        if rank() == 1:
            os.abort()
        return super().training_step(volumes, draws)
"""


def test_a_batch_that_does_not_divide_is_refused_before_anything_starts(planned: Cell, tmp_path: Path) -> None:
    three = Runtime("cpu", 1, ranks=("cpu", "cpu", "cpu"))
    with pytest.raises(UserError, match="gvsl's batch of 4 does not divide into 3 equal shares of whole groups of 2"):
        run_cell(planned, Store(tmp_path), three, SILENT)


@pytest.mark.parametrize("devices", ["cpu", "0,0", "cuda:99,cuda:98", "mps,mps", "cuda,cuda", "cpu,cuda:0"])
def test_devices_that_cannot_share_a_batch_are_refused(devices: str) -> None:
    with pytest.raises(UserError, match="--device"):
        resolve_ranks(devices, None)


def test_processes_on_the_processor_share_its_cores() -> None:
    found = resolve_ranks("cpu, cpu", None)
    assert found.ranks == ("cpu", "cpu")
    assert found.device == "cpu"
    assert found.threads == max(1, usable_cores() // 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--devices", "0,1"], "--devices 0,1: needs --strategy ddp"),
        (["--strategy", "ddp"], "name the devices with --devices"),
        (["--strategy", "ddp", "--devices", "cpu,cpu", "--device", "cpu"], "leave out --device"),
        (["--strategy", "ddp", "--devices", "cpu"], "two different CUDA devices or more, or cpu,cpu"),
    ],
)
def test_options_without_a_meaning_are_refused(options: list[str], said: str) -> None:
    ended = CliRunner().invoke(app, ["run", "--method", "gvsl", "--task", "shc", *options])
    assert isinstance(ended.exception, UserError)
    assert said in str(ended.exception)


WORDY = '''
from ssl_bench.api.method import MethodFacts
from ssl_bench.methods.denoising import Denoising


class Wordy(Denoising):
    """Its record is larger than a pipe holds."""

    facts = MethodFacts("Wordy", "none", 2026, 1, "centroid-hidden", "encoder and decoder")

    def held_out_step(self, volumes, draws):
        loss = super().held_out_step(volumes, draws)["loss"]
        return {f"the loss, said for the {number}th time": loss for number in range(500)}
'''


@pytest.mark.slow
def test_one_command_pretrains_on_two_processes_and_evaluates_on_one(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "wordy.py").write_text(WORDY)
    ended = command("run", "--plugin", "wordy.py", "--method", "wordy", "--task", "shc", "--protocol", "linear",
                    "--preset", "smoke", "--strategy", "ddp", "--devices", "cpu,cpu", "--results", "r",
                    "--log", "tensorboard")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "[W" not in ended.stderr, ended.stderr
    evaluation, pretraining = sorted(Store(tmp_path / "r").records(), key=lambda r: isinstance(r, PretrainingRecord))
    assert isinstance(pretraining, PretrainingRecord)
    assert len(pretraining.model_dump_json()) > 2 * 65536
    assert pretraining.provenance["ranks"] == 2
    assert evaluation.provenance["ranks"] == 1
    assert pretraining.volumes_seen == pretraining.spec.steps * pretraining.spec.batch
    # The first rank alone writes what is watched.
    (events,) = (tmp_path / "r" / "logs" / "tensorboard" / "wordy" / "pretraining" / pretraining.key).iterdir()
    shown = EventAccumulator(str(events))
    shown.Reload()
    assert [event.value for event in shown.Scalars("training/loss")] == pytest.approx(pretraining.loss_curve)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3.0, 6.0, 9.0])
def test_a_signal_to_every_process_stops_in_order_whenever_it_comes(seconds: float, tmp_path: Path) -> None:
    call = [sys.executable, "-c", "from ssl_bench.cli import main; main()", "pretrain", "--method", "denoising",
            "--out", "b.safetensors", "--preset", "smoke", "--set", "pretraining.steps=100000", "--results", "r",
            "--strategy", "ddp", "--devices", "cpu,cpu"]  # fmt: skip
    process = subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert not list(Store(tmp_path / "r").failures())
    time.sleep(2)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
