"""Momentum networks: slowly moving copies of an encoder and of the heads behind it, which no optimiser touches.

A method copies what it needs with `encoder_of` and `still_copy`, runs the copies under ``torch.no_grad()``, and moves
them in its `after_step` with `follow`. Copies are submodules, so that checkpoints bring them back.
"""

from __future__ import annotations

import copy
import math
from typing import TypeVar

from torch import nn

from ssl_bench.api.backbone import Backbone

Module = TypeVar("Module", bound=nn.Module)


def encoder_of(backbone: Backbone) -> Backbone:
    """A copy of `backbone` that can only `encode` and `pool`, without gradients."""
    encoder = copy.deepcopy(backbone)
    for name in backbone.decoder_modules:
        delattr(encoder, name)
    return encoder.requires_grad_(False)


def still_copy(module: Module) -> Module:
    """A copy of `module`, such as a head, without gradients."""
    return copy.deepcopy(module).requires_grad_(False)


def follow(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """Move the parameters of `target`: target = m target + (1 - m) online. Buffers stay as they are.

    `target` is a copy made by `still_copy`, or by `encoder_of` of a backbone `online`, whose decoder is then left out.
    """
    from lightly.models.utils import update_momentum

    if isinstance(online, Backbone) and isinstance(target, Backbone):
        for name in online.encoder_modules:
            update_momentum(getattr(online, name), getattr(target, name), momentum)
    else:
        update_momentum(online, target, momentum)


def rising_momentum(step: int, steps: int, largest: float, start_left: float) -> float:
    """The momentum m_k of `step`, along a cosine from `first_momentum` to 1 in the last step (BYOL, section 3.3)."""
    from lightly.utils.scheduler import cosine_schedule

    momentum: float = cosine_schedule(step, steps, first_momentum(steps, largest, start_left), 1.0)
    return momentum


def first_momentum(steps: int, largest: float, start_left: float) -> float:
    """Where a rising momentum starts: at `largest`, or lower where the steps are too few to forget the copy's start.

    The product of all m_k is what is left of the start. It is at most exp(-sum(1 - m_k)), and along the cosine that sum
    is (1 - m_0) steps / 2; at most the share `start_left` may be left. With 0.996, 370 steps would leave 48 %; from
    2,303 steps on it holds for a share of 0.01.
    """
    return min(largest, max(0.0, 1 - 2 * math.log(1 / start_left) / steps))


def constant_momentum(steps: int, largest: float, start_left: float) -> float:
    """A momentum that stays: `largest`, or lower so that at most the share `start_left` of the start is left.

    After K steps m^K is left: of 0.999 in 400 steps 67 %.
    """
    return min(largest, math.pow(start_left, 1 / steps))
