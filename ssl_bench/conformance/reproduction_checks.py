"""What a method owes the harness about bits: the same seed, or a saved state, gives them again in any batch."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.rng import Draws
from ssl_bench.conformance.method_under_test import MethodUnderTest, adam, same, some


class Views(NamedTuple):
    """What became of one image, given as every volume of a batch, so that views differ by their draws alone."""

    seen: list[Tensor]
    """Each view that a backbone was given, (C, D, H, W)."""
    left: dict[int, Tensor]
    """Where each sample's random stream stood afterwards."""


def seeds_reproduce(subject: MethodUnderTest) -> str | None:
    """The same seed builds the same weights and gives the same bits; other draws give another loss."""
    method, rebuilt = subject.build(), subject.build()
    weights, weights_again = method.state_dict(), rebuilt.state_dict()
    changed = [name for name, value in weights.items() if not same(value, weights_again[name])]
    if changed:
        return f"two builds under one seed differ in {some(changed)}: draw them from torch's generator, which is seeded"
    for one in (method, rebuilt):
        subject.refresh(one, 0)
    volumes, volumes_again = subject.choose(method, 0), subject.choose(rebuilt, 0)
    first = float(subject.finite_loss(copy.deepcopy(method), volumes, 1).detach())
    again = float(subject.finite_loss(rebuilt, volumes_again, 1).detach())
    other = float(subject.finite_loss(method, volumes, 2).detach())
    if first != again:
        return f"the same seed gives {first:.8g}, then {again:.8g}: something random does not come from `draws`"
    if first == other and not subject.facts.deterministic:
        return "another seed gives the same loss: it ignores `draws`; if nothing is random, say so: deterministic=True"
    return None


def draws_follow_the_volume(subject: MethodUnderTest) -> str | None:
    """A volume's random numbers and views depend neither on its place in the batch nor on the batch's size."""
    group = subject.facts.grouped
    fewer = -(-subject.facts.smallest_batch // group) * group
    # Groups stay together: a batch, and without its first group the same in reverse.
    groups = [list(range(start, start + group)) for start in range(0, fewer + group, group)]
    whole = views_of_one_image(subject, [sample for one in groups for sample in one])
    part = views_of_one_image(subject, [sample for one in reversed(groups[1:]) for sample in one])
    way_out = "give every volume the draws of its own stream, and nothing else that is random"
    if any(not torch.equal(left, whole.left[sample]) for sample, left in part.left.items()):
        return f"how much it draws from a volume's stream depends on the batch: {way_out}"
    for view in part.seen:
        if not any(view.shape == other.shape and torch.allclose(view, other, atol=1e-4) for other in whole.seen):
            return f"in another batch the backbone sees another view of the same volume: {way_out}"
    return None


def views_of_one_image(subject: MethodUnderTest, samples: Sequence[int]) -> Views:
    """The views in a batch of one image under the random streams of `samples`."""
    method = subject.build()
    subject.refresh(method, 0)
    subject.choose(method, 0, len(samples))
    seen: list[Tensor] = []
    for network in method.modules():
        if isinstance(network, Backbone):
            first: nn.Module = getattr(network, network.encoder_modules[0])
            first.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[0].detach()))
    draws = Draws.keyed("kit", "views", samples=samples)
    method.training_step(subject.centred(method, 1).repeat(len(samples), 1, 1, 1, 1), draws)
    return Views(seen, {sample: stream.get_state() for sample, stream in zip(samples, draws.generators, strict=True)})


def state_round_trips(subject: MethodUnderTest) -> str | None:
    """A run that is saved, loaded into a fresh method and continued ends with the same bits."""
    method = subject.build()
    optimiser = adam(method)
    subject.train(method, optimiser, range(2))
    file = io.BytesIO()
    torch.save({"method": method.state_dict(), "optimiser": optimiser.state_dict()}, file)
    file.seek(0)
    resumed = subject.build(seed=1)
    state = torch.load(file, weights_only=True)
    resumed.load_state_dict(state["method"])
    resumed_optimiser = adam(resumed)
    resumed_optimiser.load_state_dict(state["optimiser"])
    subject.train(method, optimiser, range(2, 4))
    subject.train(resumed, resumed_optimiser, range(2, 4))
    straight, after = method.state_dict(), resumed.state_dict()
    changed = [name for name, value in straight.items() if not same(value, after[name])]
    if changed:
        return f"after loading its state it goes on differently in {some(changed)}: keep all state in buffers"
    return None
