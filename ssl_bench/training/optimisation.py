"""Optimisers and schedules, from timm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ssl_bench.api.settings import OptimiserSettings
from ssl_bench.nn.from_timm import CosineLRScheduler, StepLRScheduler, create_optimizer_v2

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def build_optimiser(parameters: Iterable[nn.Parameter], settings: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser of `settings`; the presets ask for no weight decay (GVSL section 4.1).

    What decays is what timm lets decay in a whole model: parameters of more than one dimension, so neither biases nor
    the scales of norms.
    """
    extra: dict[str, Any] = {} if settings.name == "sgd" else {"fused": True}
    groups: list[Any] = list(parameters)
    if settings.weight_decay:
        parts = [[one for one in groups if (one.ndim > 1) is decays] for decays in (True, False)]
        decays = (settings.weight_decay, 0.0)
        groups = [{"params": part, "weight_decay": decay} for part, decay in zip(parts, decays, strict=True) if part]
    optimiser: torch.optim.Optimizer = create_optimizer_v2(
        groups, opt=settings.name, lr=settings.learning_rate, weight_decay=0.0, **extra
    )
    return optimiser


def build_schedule(optimiser: torch.optim.Optimizer, settings: OptimiserSettings, steps: int) -> Any:
    """A timm scheduler; call ``step_update(n)`` after the n-th update."""
    warmup: dict[str, Any] = {
        "warmup_t": settings.warmup_steps,
        "warmup_lr_init": settings.learning_rate / (settings.warmup_steps + 1),
        "t_in_epochs": False,
    }
    if settings.schedule == "cosine":
        return CosineLRScheduler(optimiser, t_initial=steps, **warmup)
    return StepLRScheduler(optimiser, decay_t=steps + 1, decay_rate=1.0, **warmup)


def learning_rate(schedule: Any) -> float:
    """That of the next update under a timm scheduler."""
    return float(schedule.optimizer.param_groups[0]["lr"])


def descend(fabric: Fabric, module: Any, optimiser: Any, loss: Tensor, gradient_clip: float) -> None:
    """One update of `module` and `optimiser`, both set up by `fabric`; a clip of 0 clips nothing."""
    optimiser.zero_grad()
    fabric.backward(loss)
    if gradient_clip:
        # A GPU is not asked whether the norm is finite, since that waits for it: its next loss says so.
        asked = fabric.device.type != "cuda"
        fabric.clip_gradients(module, optimiser, max_norm=gradient_clip, error_if_nonfinite=asked)
    optimiser.step()


def require_finite(module: nn.Module, steps: int) -> None:
    """Raise FloatingPointError if a weight of `module` is not finite after so many `steps`."""
    for name, weight in module.named_parameters():
        if not weight.isfinite().all():
            raise FloatingPointError(f"{name} is not finite after {steps} steps: the last gradient was not")
