"""Steps do not wait for a GPU: tried without one, on tensors that only claim to be there and hold no numbers.

Whatever needs a number of theirs fails, and copies between the processor and the GPU are looked at. The backward pass
is not tried; tests/gpu does, on a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.stepping import learning_methods
from ssl_bench.api.method import Windows
from ssl_bench.api.rng import Draws
from ssl_bench.data.windows import Corpus
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.nn.losses import soft_dice_loss
from ssl_bench.nn.transfer import constant
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.specification import PretrainingSpec
from ssl_bench.training.descent import on_device
from ssl_bench.training.pretraining import build_backbone, build_method

GPU = torch.device("cuda:0")
WAITS = {
    "models_genesis": "repeat_interleave",  # Blocks of random sizes: only the GPU knows how many voxels they have.
}


class NoWaiting(TorchDispatchMode):
    """Fails on a copy between devices that waits for its end."""

    def __torch_dispatch__(
        self, operator: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        options = options or {}
        devices = {argument.device.type for argument in arguments if isinstance(argument, Tensor)}
        devices |= {torch.device(options["device"]).type} if options.get("device") and devices else set()
        copies = operator.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_)
        assert not copies or len(devices) < 2 or options.get("non_blocking"), f"{operator} waits for the GPU"
        return operator(*arguments, **options)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def on_gpu(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda self, *arguments: torch.stack([draw(*arguments) for _ in self.generators])

    monkeypatch.setattr(Draws, "normal", on_gpu(lambda *shape: torch.randn(shape, device=GPU)))
    monkeypatch.setattr(Draws, "permutation", on_gpu(lambda length: torch.randperm(length, device=GPU)))
    integers = on_gpu(lambda low, high, *shape: torch.randint(low, high, shape, device=GPU))
    monkeypatch.setattr(Draws, "integers", integers)
    unit = on_gpu(lambda *shape: torch.rand(shape, device=GPU))
    monkeypatch.setattr(
        Draws, "uniform", lambda self, *shape, low=0.0, high=1.0: low + (high - low) * unit(self, *shape)
    )
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)  # It would ask for a driver.
    with FakeTensorMode(allow_non_fake_inputs=True), NoWaiting():
        yield


def claim_to_be_on_gpu(module: nn.Module) -> None:
    """Give `module` weights without numbers."""
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False):
            empty = torch.empty_strided(weight.shape, weight.stride(), device=GPU)
            part.register_parameter(name, nn.Parameter(empty, weight.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            part.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype, device=GPU))


def real_method(name: str, planner: Planner) -> tuple[Any, PretrainingSpec]:
    spec = planner.pretraining(name, 0).spec
    assert isinstance(spec, PretrainingSpec)
    return build_method(spec), spec


def one_step(method: Any, spec: PretrainingSpec) -> Tensor:
    """The loss of a batch that comes from the disk."""
    claim_to_be_on_gpu(method)
    if method.refresh_every:
        method.labels = torch.zeros(spec.batch, dtype=torch.int64)
    else:
        method.choose_windows(spec.batch, spec.batch, np.random.default_rng(0))
    volumes = [np.zeros((method.region + 3,) * 3, np.float32)] * spec.batch
    windows = Windows(np.arange(spec.batch), np.full((spec.batch, 3), 0.5))
    batch = Corpus(volumes, method.region, GPU).read(windows)
    assert batch.device == GPU
    loss: Tensor = method.training_step(batch, Draws([SimpleNamespace(device=GPU)] * spec.batch))["loss"]  # type: ignore[list-item]
    return loss


@pytest.mark.parametrize("name", [name for name in learning_methods() if name not in WAITS])
def test_a_pretraining_step_never_waits(name: str, planner: Planner, request: pytest.FixtureRequest) -> None:
    method, spec = real_method(name, planner)
    request.getfixturevalue("no_waiting")
    assert one_step(method, spec).device == GPU


@pytest.mark.parametrize("name", WAITS)
def test_what_waits_is_known(name: str, planner: Planner, request: pytest.FixtureRequest) -> None:
    method, spec = real_method(name, planner)
    request.getfixturevalue("no_waiting")
    with pytest.raises(DynamicOutputShapeException, match=WAITS[name]):
        one_step(method, spec)


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_a_step_of_fine_tuning_never_waits(kind: Any, request: pytest.FixtureRequest) -> None:
    model = PaperDownstream(build_backbone(8, 0), kind, 3)
    request.getfixturevalue("no_waiting")
    claim_to_be_on_gpu(model)
    logits = model(on_device(SimpleNamespace(device=GPU), torch.zeros(2, 1, 16, 16, 16)))  # type: ignore[arg-type]
    assert logits.device == GPU
    if kind == "segmentation":
        assert soft_dice_loss(logits, torch.zeros(2, 16, 16, 16, dtype=torch.int64, device=GPU)).device == GPU


@pytest.mark.usefixtures("no_waiting")
def test_what_waits_is_seen() -> None:
    volumes = torch.zeros(3, device=GPU)
    with pytest.raises(DataDependentOutputException):
        float(volumes[0])
    with pytest.raises(DynamicOutputShapeException):
        volumes[volumes > 0]
    for copy in (
        lambda: torch.tensor([1.0, 2.0], device=GPU),
        lambda: volumes.new_tensor([1.0]),
        lambda: volumes.cpu(),
    ):
        with pytest.raises(AssertionError, match="waits for the GPU"):
            copy()
    assert constant([1, 2], volumes).device == GPU
