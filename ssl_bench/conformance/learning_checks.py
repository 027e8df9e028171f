"""What a method owes the harness about its loss: finite, falling, and the backbone's to learn from."""

from __future__ import annotations

import copy

import numpy as np
import torch

from ssl_bench.conformance.method_under_test import MethodUnderTest, adam, off_zero, some, update

FEWEST_UPDATES, MOST_UPDATES = 6, 16
"""On one batch: the loss has fallen as soon as the mean of the last three lies below the first."""


def loss_is_finite(subject: MethodUnderTest) -> str | None:
    """The loss is one finite float32 number."""
    method, volumes = subject.ready()
    loss = subject.loss(method, volumes)
    if loss.shape != () or loss.dtype != torch.float32:
        return f"the loss is {loss.dtype} of shape {tuple(loss.shape)}; return one float32 number"
    subject.finite_loss(method, volumes)
    return None


def loss_falls(subject: MethodUnderTest) -> str | None:
    """A few updates lower the loss on one batch."""
    method, volumes = subject.ready()
    optimiser = adam(method)
    losses: list[float] = []
    for step in range(MOST_UPDATES):
        loss = subject.finite_loss(method, volumes)
        losses.append(float(loss.detach()))
        if step >= FEWEST_UPDATES and np.mean(losses[-3:]) < losses[0]:
            return None
        update(method, optimiser, loss, step, MOST_UPDATES)
    last = float(np.mean(losses[-3:]))
    return f"{MOST_UPDATES} updates on one batch moved the loss from {losses[0]:.4g} to {last:.4g}"


def gradient_reaches_all(subject: MethodUnderTest) -> str | None:
    """A gradient reaches every trainable parameter."""
    # Instance normalisation gives nothing to learn from where its stage has a single voxel.
    subject = subject.with_crop(max(subject.crop, 2 * subject.fresh_backbone().stride))
    method, volumes = subject.ready()
    off_zero(method.backbone)
    subject.finite_loss(method, volumes).backward()  # type: ignore[no-untyped-call]
    encoder_only = subject.facts.pretrains == "encoder"
    decoder = tuple(f"backbone.{module}." for module in method.backbone.decoder_modules)
    missed, beyond = [], []
    for name, parameter in method.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        if encoder_only and name.startswith(decoder):
            beyond += [name] if reached else []
        elif parameter.requires_grad and not reached:
            missed.append(name)
    if beyond:
        return f"facts say that it pre-trains the encoder, but a gradient reaches {some(beyond)}"
    if missed:
        return f"no gradient reaches {some(missed)}: is a tensor detached, or rebuilt from numbers?"
    return None


def batches_work(subject: MethodUnderTest) -> str | None:
    """Any batch from the smallest on gives a finite loss."""
    smallest = subject.facts.smallest_batch
    for batch in (smallest, smallest + 1, smallest + 3):
        method, volumes = subject.ready(batch=batch)
        loss = subject.loss(method, volumes)
        if not loss.isfinite():
            return f"the loss of {batch} volumes is {float(loss.detach()):.4g}; is facts.smallest_batch too small?"
    return None


def other_windows_work(subject: MethodUnderTest) -> str | None:
    """Windows of another side work; constants in voxels scale."""
    small = subject.with_crop(subject.crop * 3 // 4)
    loss = small.loss(*small.ready())
    return None if loss.isfinite() else f"the loss on windows of {small.crop}^3 is {float(loss.detach()):.4g}"


def mixed_precision_works(subject: MethodUnderTest) -> str | None:
    """Under bf16 autocast the loss stays float32 and close; or the facts declare that out."""
    if not subject.facts.mixed_precision:
        return None
    method, volumes = subject.ready()
    exact = float(subject.finite_loss(copy.deepcopy(method), volumes).detach())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = subject.loss(method, volumes)
    if rounded.dtype != torch.float32:
        return f"under autocast the loss is {rounded.dtype}; compute it in float32"
    if not abs(float(rounded.detach()) - exact) <= 0.05 + 0.05 * abs(exact):
        return f"the loss is {exact:.4g} in float32 and {float(rounded.detach()):.4g} under bf16 autocast"
    return None
