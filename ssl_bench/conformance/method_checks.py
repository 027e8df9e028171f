"""What every method owes the harness: the promises, in the order in which they are asked."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from ssl_bench.api.rng import Draws, numpy_generator
from ssl_bench.conformance import Check, checks_of
from ssl_bench.conformance.global_state import global_state_is_left_alone
from ssl_bench.conformance.learning_checks import (
    batches_work,
    gradient_reaches_all,
    loss_falls,
    loss_is_finite,
    mixed_precision_works,
    other_windows_work,
)
from ssl_bench.conformance.method_under_test import VOLUMES, MethodUnderTest, adam, some
from ssl_bench.conformance.reproduction_checks import draws_follow_the_volume, seeds_reproduce, state_round_trips

__all__ = ["METHOD_CHECKS", "MethodUnderTest"]


def facts_are_complete(subject: MethodUnderTest) -> str | None:
    """Title and paper say what it is and who wrote it."""
    if not subject.facts.title or not subject.facts.paper:
        return "facts.title and facts.paper must say what the method is and who wrote it"
    return None


def backbone_keeps_its_keys(subject: MethodUnderTest) -> str | None:
    """`method.backbone` is the backbone it was given, with the same keys and shapes after training."""
    method = subject.build()
    wanted = {name: value.shape for name, value in subject.fresh_backbone().state_dict().items()}
    subject.train(method, adam(method), range(1))
    found = {name: value.shape for name, value in method.backbone.state_dict().items()}
    if found == wanted:
        return None
    unknown = sorted(found.keys() - wanted.keys())
    if unknown:
        return f"the backbone has keys that are not the shared backbone's: {some(unknown)}; do not wrap or rename it"
    return f"the backbone lacks or reshapes {some([name for name in wanted if found.get(name) != wanted[name]])}"


def windows_are_in_range(subject: MethodUnderTest) -> str | None:
    """A batch has the asked size, names volumes of the corpus and places inside them."""
    method, _ = subject.ready()
    windows = method.choose_windows(VOLUMES, subject.batch, numpy_generator("kit", "windows", 3))
    if windows.volumes.shape != (subject.batch,) or windows.positions.shape != (subject.batch, 3):
        return f"choose_windows gives {windows.volumes.shape} volumes at {windows.positions.shape} places"
    if windows.volumes.min() < 0 or windows.volumes.max() >= VOLUMES:
        return "choose_windows names volumes that are not in the corpus"
    if windows.positions.min() < 0 or windows.positions.max() > 1:
        return "choose_windows gives places outside 0..1"
    if method.refresh_every is None and len(set(windows.volumes.tolist())) < subject.batch:
        return "choose_windows gives one volume twice in a batch"
    return None


def held_out_step_works(subject: MethodUnderTest) -> str | None:
    """On held-out volumes it gives finite numbers, the loss among them, or None."""
    method, _ = subject.ready()
    with torch.no_grad():
        losses = method.held_out_step(
            subject.centred(method, subject.batch), Draws.keyed("kit", "held out", samples=range(subject.batch))
        )
    if losses is None:
        return None
    if "loss" not in losses:
        return f"held_out_step gives {some(sorted(losses)) or 'nothing'} and no loss"
    unusable = [f"{name} {float(value):.4g}" for name, value in losses.items() if not torch.as_tensor(value).isfinite()]
    return f"held_out_step gives {some(unusable)}" if unusable else None


def example_can_be_shown(subject: MethodUnderTest) -> str | None:
    """`example` gives volumes of one size, a displacement with three channels, or None."""
    method, _ = subject.ready()
    with torch.no_grad():
        shown = method.example(subject.centred(method, 2), Draws.keyed("kit", "example", samples=range(2)))
    if shown is None:
        return None
    if not shown.keys() - {"displacement"}:
        return "example gives no volume to show; return None instead"
    sizes = {volume.shape[2:] for volume in shown.values()}
    for title, volume in shown.items():
        channels = 3 if title == "displacement" else subject.channels
        if volume.ndim != 5 or volume.shape[1] != channels or len(sizes) > 1:
            return (
                f"example gives {title!r} of shape {tuple(volume.shape)}; all are (B, {channels}, D, H, W) of one size"
            )
        if not volume.isfinite().all():
            return f"example gives {title!r} with values that are not finite"
    return None


def own_map_fits(subject: MethodUnderTest) -> str | None:
    """A method with `matching_modules` gives a finite displacement between volumes of any one size."""
    method, _ = subject.ready()
    if not method.matching_modules:
        return None
    if missing := [name for name in method.matching_modules if not isinstance(getattr(method, name, None), nn.Module)]:
        return f"matching_modules names {some(missing)}, which hold no module"
    pair = subject.centred(method, 2)[:, :, :-1, :-3, :-8]
    fixed, moving = pair[:1], pair[1:]
    with torch.no_grad():
        found = method.displacement(fixed, moving)
    if found.shape != (1, 3, *fixed.shape[2:]):
        return f"displacement gives shape {tuple(found.shape)} between volumes of {tuple(fixed.shape)}; (B, 3, D, H, W)"
    return None if found.isfinite().all() else "displacement gives values that are not finite"


def three_channels_work(subject: MethodUnderTest) -> str | None:
    """On volumes of three channels all that was asked for one holds too."""
    three = subject.with_channels(3)
    with warnings.catch_warnings():
        # What PyTorch says where one restored channel is compared with three.
        warnings.filterwarnings("error", "Using a target size")
        for promise in (
            loss_is_finite,
            gradient_reaches_all,
            backbone_keeps_its_keys,
            draws_follow_the_volume,
            held_out_step_works,
            example_can_be_shown,
            own_map_fits,
        ):
            if problem := promise(three):
                return f"on three channels {problem}"
    return None


METHOD_CHECKS: tuple[Check[MethodUnderTest], ...] = checks_of(
    facts_are_complete,
    loss_is_finite,
    loss_falls,
    gradient_reaches_all,
    backbone_keeps_its_keys,
    seeds_reproduce,
    draws_follow_the_volume,
    state_round_trips,
    batches_work,
    other_windows_work,
    mixed_precision_works,
    global_state_is_left_alone,
    windows_are_in_range,
    held_out_step_works,
    example_can_be_shown,
    own_map_fits,
    three_channels_work,
    essential=loss_is_finite,
)
