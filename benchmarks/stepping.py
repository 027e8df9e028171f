"""One pre-training step as the engine takes it, and the plain backbone's step on the same volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.timing import Options
from ssl_bench.api.method import Method
from ssl_bench.api.registry import METHODS
from ssl_bench.api.rng import Draws, numpy_generator
from ssl_bench.api.settings import load_preset
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.data.windows import Corpus
from ssl_bench.nn.sparse import SparseStages, sparse_stages
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.specification import PretrainingSpec
from ssl_bench.training.loss_curve import LossCurve
from ssl_bench.training.optimisation import build_optimiser, descend
from ssl_bench.training.pretraining import build_backbone, build_method, pretext_losses
from ssl_bench.training.runtime import Runtime, make_fabric, resolve_precision

Precision = Literal["float32", "bf16"]


def learning_methods() -> list[str]:
    """Every method that pre-trains something."""
    return [name for name in METHODS.names() if METHODS.load(name).facts.pretrains != "nothing"]


def native_precision(options: Options) -> Precision:
    """What `--precision auto` is on this machine."""
    return resolve_precision("auto", options.device)


def plan(method: str, precision: Precision, overrides: Sequence[str] = (), preset: str = "paper") -> PretrainingSpec:
    """The pre-training of `method` in `preset` with `overrides`."""
    spec = Planner(load_preset(preset, overrides), overrides, precision).pretraining(method, 0).spec
    assert isinstance(spec, PretrainingSpec)
    return spec


class Stepper:
    """A method that pre-trains on random volumes; call it for one step: draws, views, loss, backward, update."""

    def __init__(
        self, spec: PretrainingSpec, options: Options, channels_last: bool = True, checkpointing: bool = False
    ) -> None:
        self.spec = spec
        runtime = Runtime(options.device, options.threads, checkpointing=checkpointing)
        self.fabric = make_fabric(runtime, spec.precision)
        self.method: Method = build_method(spec)
        self.method.backbone.checkpointing = checkpointing
        if not channels_last:
            self.method.to(memory_format=torch.contiguous_format)
        assert spec.optimiser is not None
        optimiser = build_optimiser(self.method.optimised_parameters(), spec.optimiser)
        self.wrapped: Any
        self.wrapped, self.optimiser = self.fabric.setup(self.method, optimiser)
        self.wrapped.mark_forward_method("training_step")
        self.wrapped.train()
        self.clip = spec.optimiser.gradient_clip
        self.volumes = torch.rand(spec.batch, 1, *[self.method.region] * 3).to(self.fabric.device)
        if self.method.refresh_every:
            corpus = Corpus(list(self.volumes[:, 0].cpu().numpy()), self.method.region, self.fabric.device)
            with torch.no_grad(), self.fabric.autocast():
                self.method.refresh(corpus, 0, numpy_generator(0))
        self.steps = 0
        self.losses = LossCurve("pre-training")

    def __call__(self) -> None:
        generator = numpy_generator(0, self.steps)
        # DeepCluster notes the clusters of the windows that it chooses.
        self.method.choose_windows(self.spec.batch, self.spec.batch, generator)
        draws = Draws.keyed(0, self.steps, samples=range(self.spec.batch), device=self.fabric.device)
        loss = pretext_losses(self.fabric, self.wrapped, self.volumes, draws)["loss"]
        self.losses.add(loss)
        descend(self.fabric, self.wrapped, self.optimiser, loss, self.clip)
        self.method.after_step(self.steps, 1000)
        self.steps += 1


def plain_step(
    spec: PretrainingSpec,
    options: Options,
    decodes: bool = True,
    channels_last: bool = True,
    compiled: bool = False,
) -> Callable[[], None]:
    """Forward, backward and update of the bare backbone, or of its encoder, on a batch of the same volumes."""
    fabric = make_fabric(Runtime(options.device, options.threads), spec.precision)
    backbone = build_backbone(spec.width, 0)
    if not channels_last:
        backbone.to(memory_format=torch.contiguous_format)
    for name in () if decodes else backbone.decoder_modules:
        getattr(backbone, name).requires_grad_(False)
    assert spec.optimiser is not None
    learning = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    _, optimiser = fabric.setup(backbone, build_optimiser(learning, spec.optimiser))
    volumes = torch.rand(spec.batch, 1, *[spec.crop] * 3).to(fabric.device)

    def features(volumes: Tensor) -> Tensor:
        return backbone(volumes).local if decodes else backbone.encode(volumes)

    forward = torch.compile(features) if compiled else features

    def step() -> None:
        optimiser.zero_grad()
        with fabric.autocast():
            out = forward(volumes)
        torch.autograd.backward(out, torch.ones_like(out))
        optimiser.step()

    return step


Pass = tuple[tuple[int, ...], bool, bool]
"""Shape of the volumes, whether they are decoded, whether a gradient comes back."""


def backbone_passes(stepper: Stepper) -> list[Pass]:
    """What one step asks of its backbones, in order."""
    passes: list[Pass] = []
    stages, decode = UNet3D.stages, UNet3D.decode

    def noted_stages(self: UNet3D, volumes: Tensor) -> list[Tensor]:
        passes.append((tuple(volumes.shape), False, torch.is_grad_enabled()))
        return stages(self, volumes)

    def noted_decode(self: UNet3D, found: Sequence[Tensor]) -> Tensor:
        shape, _, learns = passes.pop()
        passes.append((shape, True, learns))
        return decode(self, found)

    def noted_sparse(backbone: UNet3D, volumes: Tensor, visible: Tensor) -> SparseStages:
        passes.append((tuple(volumes.shape), False, torch.is_grad_enabled()))
        return sparse_stages(backbone, volumes, visible)

    with (
        patch.object(UNet3D, "stages", noted_stages),
        patch.object(UNet3D, "decode", noted_decode),
        patch("ssl_bench.methods.spark.sparse_stages", noted_sparse),
    ):
        stepper()
    return passes


def replay(stepper: Stepper, passes: Sequence[Pass]) -> Callable[[], None]:
    """The same passes through the method's backbone and back, and nothing else."""
    backbone, device = stepper.method.backbone, stepper.fabric.device
    given = [torch.rand(shape).to(device) for shape, _, _ in passes]

    def again() -> None:
        learning = []
        for volumes, (_, decodes, learns) in zip(given, passes, strict=True):
            with torch.set_grad_enabled(learns), stepper.fabric.autocast():
                out = backbone(volumes).local if decodes else backbone.encode(volumes)
            learning += [out] if learns else []
        torch.autograd.backward(learning, [torch.ones_like(out) for out in learning])
        stepper.optimiser.zero_grad()

    return again
