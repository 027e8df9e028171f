"""What only a GPU can show: ``pytest -m gpu`` where one is; .ci/run says loudly where none is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.stepping import Stepper, learning_methods, plan
from benchmarks.timing import Options
from ssl_bench.api.registry import METHODS
from ssl_bench.api.rng import Draws
from ssl_bench.api.settings import load_preset
from ssl_bench.backbones.unet3d import upsample
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.nn.cpu.group_norm import GroupNorm
from ssl_bench.nn.losses import soft_dice_loss
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.store.store import Store
from ssl_bench.training.attempt import Attempt, Stopped
from ssl_bench.training.pretraining import build_method
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, resolve_precision
from tests.training.test_waiting import WAITS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]
SILENT = Progress(shown=False)
ON_GPU = Runtime("cuda", 2)
SMALL = ["width=8", "pretraining.crop=32"]


@pytest.fixture
def exact() -> Iterator[None]:
    """Convolutions in float32: by default a GPU rounds their inputs to ten bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def never_waits() -> Iterator[Callable[[], None]]:
    """Call it to have everything that waits for the GPU fail from then on."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


def loss_and_gradients(method: Any, volumes: Tensor) -> tuple[float, Tensor]:
    draws = Draws.keyed(0, samples=range(len(volumes)))
    loss = method.training_step(volumes, draws)["loss"]
    loss.backward()
    gradients = [p.grad.flatten().cpu() for p in method.parameters() if p.grad is not None]
    return float(loss), torch.cat(gradients)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("name", [name for name in learning_methods() if name != "deepcluster"])
def test_a_step_has_the_loss_and_the_gradient_of_the_processors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = plan(name, "float32", SMALL)
    volumes = torch.rand(spec.batch, 1, *[spec.crop] * 3, generator=torch.Generator().manual_seed(0))
    expected_loss, expected = loss_and_gradients(build_method(spec), volumes)
    for drawing in ("uniform", "normal", "integers", "permutation"):  # The same numbers, sent.
        draw = getattr(Draws, drawing)
        monkeypatch.setattr(Draws, drawing, lambda *given, draw=draw, **named: draw(*given, **named).to("cuda"))
    monkeypatch.setattr(Draws, "device", torch.device("cuda"))
    loss, gradients = loss_and_gradients(build_method(spec).to("cuda"), volumes.to("cuda"))
    assert loss == pytest.approx(expected_loss, rel=1e-3)
    assert float((gradients - expected).norm() / expected.norm()) < 0.02


@pytest.mark.parametrize("name", [name for name in learning_methods() if name not in WAITS])
def test_a_whole_step_never_waits(name: str, never_waits: Callable[[], None]) -> None:
    """Backward pass, clipping and update too."""
    spec = plan(name, resolve_precision("auto", "cuda"), [*SMALL, "pretraining.optimiser.gradient_clip=1"])
    step = Stepper(spec, Options("test", quick=True, device="cuda", threads=2))
    for _ in range(3):
        step()
    never_waits()
    for _ in range(2):
        step()


def test_bf16_layers_agree_with_float32() -> None:
    volumes = torch.randn(2, 16, 8, 8, 8, device="cuda").to(memory_format=torch.channels_last_3d)
    layer = GroupNorm(2, 16).to("cuda")
    for compute in (layer, upsample):
        with torch.autocast("cuda", torch.bfloat16):
            rounded = compute(volumes.bfloat16())
        assert rounded.dtype == torch.bfloat16
        torch.testing.assert_close(rounded.float(), compute(volumes), rtol=0.02, atol=0.05)


def test_soft_dice_never_waits(never_waits: Callable[[], None]) -> None:
    logits = torch.rand(2, 4, 8, 8, 8, device="cuda", requires_grad=True)
    targets = torch.randint(0, 4, (2, 8, 8, 8), device="cuda")
    soft_dice_loss(logits, targets).backward()  # type: ignore[no-untyped-call]
    never_waits()
    soft_dice_loss(logits, targets).backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("protocol", ["linear", "finetune", "probe"])
@pytest.mark.parametrize("task", ["shc", "ccc"])
def test_a_cell_ends_and_says_where_it_ran(task: str, protocol: str, planner: Planner, tmp_path: Path) -> None:
    record = run_cell(planner.evaluation("gvsl", task, protocol, 0), Store(tmp_path), ON_GPU, SILENT)
    assert isinstance(record, EvaluationRecord)
    assert record.status == "ok", record.reason
    assert record.score is not None
    assert math.isfinite(record.score)
    assert record.provenance["device"] == torch.cuda.get_device_name()
    assert record.cost["peak_device_mib"] > 1


def test_a_pretraining_that_was_interrupted_goes_on(planner: Planner, tmp_path: Path) -> None:
    """Sums on a GPU have no order, so close is what can be asked for."""
    cell = planner.pretraining("gvsl", 0)
    undisturbed = run_cell(cell, Store(tmp_path / "undisturbed"), ON_GPU, SILENT)
    store, each_step = Store(tmp_path / "interrupted"), Runtime("cuda", 2, checkpoint_seconds=0.0)
    save = Attempt._save

    def stop_once(self: Attempt, content: dict[str, Any]) -> None:
        save(self, content)
        raise Stopped

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Attempt, "_save", stop_once)
        with pytest.raises(Stopped):
            run_cell(cell, store, each_step, SILENT)
    assert store.checkpoint_path(cell.key).exists()
    assert losses(run_cell(cell, store, ON_GPU, SILENT)) == pytest.approx(losses(undisturbed), rel=0.05)


def losses(record: AnyRecord) -> list[float]:
    assert isinstance(record, PretrainingRecord)
    assert record.status == "ok", record.reason
    return record.loss_curve


def test_checkpointing_takes_less_memory_for_the_same_losses(planner: Planner, tmp_path: Path) -> None:
    cell = planner.pretraining("simsiam", 0)
    kept = run_cell(cell, Store(tmp_path / "kept"), ON_GPU, SILENT)
    again = run_cell(cell, Store(tmp_path / "again"), Runtime("cuda", 2, checkpointing=True), SILENT)
    assert losses(again) == pytest.approx(losses(kept), rel=0.05)
    assert again.cost["peak_device_mib"] < kept.cost["peak_device_mib"]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("name", ["gvsl", "simclr", "byol", "deepcluster"])
def test_two_gpus_see_the_losses_of_one(name: str, tmp_path: Path) -> None:
    overrides = ["pretraining.batch=4"]
    cell = Planner(load_preset("smoke", overrides), overrides, "float32").pretraining(name, 0)
    alone = run_cell(cell, Store(tmp_path / "one"), ON_GPU, SILENT)
    both = run_cell(cell, Store(tmp_path / "two"), Runtime("cuda:0", 2, ranks=("cuda:0", "cuda:1")), SILENT)
    assert losses(both) == pytest.approx(losses(alone), rel=0.05)


def test_a_loss_that_is_not_finite_ends_the_cell(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a GPU's losses are looked at one step late."""
    method: Any = METHODS.load("denoising")
    step = method.training_step
    monkeypatch.setattr(method, "training_step", lambda *given: {"loss": step(*given)["loss"] * math.nan})
    record = run_cell(planner.pretraining("denoising", 0), Store(tmp_path), ON_GPU, SILENT)
    assert record.status == "failed"
    assert record.reason is not None
    assert "pre-training loss is nan at step 0" in record.reason
