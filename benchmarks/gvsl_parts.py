"""GVSL's step taken apart: each part forward and, where something learns, backward, on inputs of the step's shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.stepping import Stepper, native_precision, plan
from benchmarks.tables import Row
from benchmarks.timing import Options, interleaved, ratio, spread
from ssl_bench.api.rng import Draws
from ssl_bench.methods.gvsl import GVSL, pair_up
from ssl_bench.nn.losses import ncc_loss, smoothness_loss
from ssl_bench.nn.warp import affine_displacement, compose, warp
from ssl_bench.transforms.corruption import GVSL as CORRUPTION
from ssl_bench.transforms.corruption import corrupt
from ssl_bench.transforms.spatial import random_spatial


def gvsl_parts(options: Options, overrides: Sequence[str]) -> list[Row]:
    """Seconds of each part, and its share of the whole step, measured in turn with it."""
    step = Stepper(plan("gvsl", native_precision(options), overrides), options)
    method, volumes = step.method, step.volumes
    assert isinstance(method, GVSL)

    def learning(part: Callable[..., Tensor], *inputs: Tensor) -> Callable[[], None]:
        """Forward and backward of `part`, gradients of `inputs` included."""

        def run() -> None:
            given = [each.detach().requires_grad_() for each in inputs]
            with step.fabric.autocast():
                out = part(*given)
            torch.autograd.backward(out, torch.ones_like(out))

        return run

    def draws() -> Draws:
        own: Draws = pair_up(volumes, Draws.keyed(0, samples=range(len(volumes)), device=volumes.device))[2]
        return own

    moving, fixed, _ = pair_up(volumes, draws())
    size = fixed.shape[2:]
    with torch.no_grad(), step.fabric.autocast():
        features = method.backbone(torch.cat([fixed, moving]))
        (global_fixed, global_moving), (fixed_local, local) = features.global_.chunk(2), features.local.chunk(2)
        matrix = method.affine_head(global_moving, global_fixed, size)
        both = torch.cat([local, fixed_local], dim=1)
        deformation = method.deformable_head(both).float()
        warped = warp(moving, compose(matrix, deformation))

    sides: dict[str, Callable[[], object]] = {
        "the whole step": step,
        "spatial augmentation": lambda: random_spatial((fixed, moving), draws()),
        "corruption": lambda: corrupt(fixed, draws(), CORRUPTION),
        "backbone": learning(lambda given: method.backbone(given).local, volumes),
        "restoration": learning(lambda given: F.mse_loss(method.restoration(given).float(), fixed), local),
        "affine head": learning(lambda a, b: method.affine_head(a, b, size), global_moving, global_fixed),
        "resampling of the local features": learning(lambda a, m: warp(a, affine_displacement(m, size)), local, matrix),
        "deformable head": learning(lambda given: method.deformable_head(given), both),
        "composition, resampling of the image": learning(lambda m, d: warp(moving, compose(m, d)), matrix, deformation),
        "cross-correlation": learning(lambda given: ncc_loss(given, fixed, method.window), warped),
        "smoothness": learning(smoothness_loss, deformation),
    }
    times = interleaved(sides, options)
    whole = times["the whole step"]
    return [
        {"part": name, "seconds": spread(taken), "% of the step": ratio(taken, whole, factor=100)}
        for name, taken in times.items()
    ]
