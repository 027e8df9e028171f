"""Which network a file's tensors belong to, and all of its tensors under the network's own names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ssl_bench.api.declarations import first_line
from ssl_bench.api.registry import BACKBONES
from ssl_bench.errors import UserError
from ssl_bench.nn.blocks import CHANNELS_PER_GROUP
from ssl_bench.spec.specification import Origin
from ssl_bench.weights.candidates import Candidate, candidate, choose, prefixes
from ssl_bench.weights.origin import Made, read_network, read_origin
from ssl_bench.weights.releases import GENESIS, OWN, Release, group, unet_release
from ssl_bench.weights.tensors import Contents, listed, read, tame

UNET_START = "inc.double_conv.0.weight"
GENESIS_WIDTH = 64
"""Channels at full resolution of the released network."""
GENESIS_START = "down_tr64.ops.0.conv1.weight"
HALVES = (torch.float16, torch.bfloat16)
"""float32 holds each of their numbers exactly."""
FLOATS = (torch.float64, torch.float32, *HALVES)
"""What weights may be."""


class Match(NamedTuple):
    """How a file's tensors fitted a backbone."""

    matched: int
    missing: int
    left_over: int

    def __str__(self) -> str:
        return f"{self.matched} tensors matched, {self.missing} missing, {self.left_over} left over"


class Weights(NamedTuple):
    """All tensors of a network, read from a file."""

    release: Release
    width: int
    """Channels at full resolution."""
    channels: int
    """Those of the volumes that it reads."""
    tensors: dict[str, Tensor]
    """Tensors by the network's own names; floating-point ones are float32 and finite."""
    match: Match
    left_over: str
    """The groups of tensors that were not taken, by name."""
    remarks: list[str]
    """Choices that were made in reading."""
    sha256: str
    origin: Origin
    """How they were pre-trained, as far as the file says so."""
    which: str
    """Which of several networks in the file they are; empty if none had to be named."""

    def __str__(self) -> str:
        groups = f" ({self.left_over})" if self.match.left_over else ""
        parts = [f"{self.match}{groups}", f"layout {self.release.title}", *self.remarks]
        return "; ".join([*parts, f"licence: {self.release.licence}"])


def read_weights(path: Path, which: str | None = None) -> Weights:
    """The network in a file and all its weights; `which` names one of several.

    Raises UserError, naming the file, if it does not read, holds no network that is known here or several of which none
    is named, or if a tensor of the network is missing, of another shape, of another kind of number, or not finite.
    """
    contents = read(path)
    made = read_network(path, contents.metadata)
    if made.network == OWN.network:
        found = _unets(path, contents) or _geneses(path, contents)
    else:
        found = _own(path, contents, made)
    if not found:
        raise _nothing_known(path, contents)
    whole = [one for one in found if one.whole]
    if not whole:
        nearest = max(found, key=lambda one: len(one.tensors))
        raise UserError(f"{path}: {_match(nearest)} of a {_title(nearest)}; give all weights of this network")
    chosen, label = choose(path, whole, which)
    return _weights(path, contents, chosen, [one for one in whole if one is not chosen], label)


def _own(path: Path, contents: Contents, made: Made) -> list[Candidate]:
    wanted = _wanted(path, made)
    release = OWN._replace(network=made.network)
    return [candidate(release, made.width, made.channels, contents.states[0], "", wanted)]


def _unets(path: Path, contents: Contents) -> list[Candidate]:
    """The U-Nets of some width that begin in the file."""
    found: list[Candidate] = []
    wanted: dict[Made, dict[str, Tensor]] = {}
    for state in contents.states:
        for prefix in prefixes(state, UNET_START):
            if made := _unet(state.tensors[prefix + UNET_START]):
                wanted[made] = wanted.get(made) or _wanted(path, made)
                release = unet_release(contents.metadata, state.tensors, prefix)
                found.append(candidate(release, made.width, made.channels, state, prefix, wanted[made]))
    return found


def _geneses(path: Path, contents: Contents) -> list[Candidate]:
    """The networks of Models Genesis that begin in the file."""
    begun = [(state, prefix) for state in contents.states for prefix in prefixes(state, GENESIS_START)]
    wanted = _wanted(path, Made(GENESIS.network, GENESIS_WIDTH)) if begun else {}
    return [candidate(GENESIS, GENESIS_WIDTH, 1, state, prefix, wanted) for state, prefix in begun]


def _wanted(path: Path, made: Made) -> dict[str, Tensor]:
    """The tensors of a network, without their values. Raises UserError for one that does not build."""
    plugin = BACKBONES.load(made.network)
    try:
        with torch.device("meta"):
            return plugin.reading(made.channels, made.width).state_dict()
    except Exception as error:  # Code and width come from elsewhere.
        raise UserError(f"{path}: no {made.network} of width {made.width} can be built: {first_line(error)}") from error


def _unet(first: Tensor) -> Made | None:
    """The U-Net that has this first tensor; None for one that is no U-Net's."""
    if first.dim() != 5 or first.shape[0] % CHANNELS_PER_GROUP or 0 in first.shape:
        return None
    return Made(OWN.network, width=first.shape[0], channels=first.shape[1])


def _nothing_known(path: Path, contents: Contents) -> UserError:
    for state in contents.states:
        for prefix in prefixes(state, UNET_START):
            shape = tuple(state.tensors[prefix + UNET_START].shape)
            return UserError(f"{path}: holds no 3D U-Net of ssl-bench or GVSL: {UNET_START} has shape {shape}")
    groups = listed(name.partition(".")[0] for state in contents.states for name in state.tensors)
    return UserError(f"{path}: holds no 3D U-Net of ssl-bench or GVSL and no Models Genesis network, but {groups}")


def _title(found: Candidate) -> str:
    if found.release is GENESIS:
        return "Models Genesis network"
    kind = "3D U-Net" if found.release.network == OWN.network else found.release.network
    return f"{kind} of width {found.width}"


def _match(found: Candidate) -> Match:
    matched = len(found.tensors)
    return Match(matched, len(found.wanted) - matched, len(found.state.tensors) - matched)


def _weights(path: Path, contents: Contents, chosen: Candidate, others: list[Candidate], label: str) -> Weights:
    tensors, shown = chosen.tensors, tame(chosen.prefix)
    numbers = {name: _checked(path, shown + name, value, chosen.wanted[name]) for name, value in tensors.items()}
    rest = chosen.state.tensors.keys() - {chosen.prefix + name for name in tensors}
    taken = f"{tame(chosen.label)}." if others else shown
    remarks = [f"taken from {taken}*"] if taken else []
    if halves := sum(value.dtype in HALVES for value in tensors.values()):
        remarks.append(f"{halves} tensors of half precision, read as float32")
    if doubles := sum(value.dtype == torch.float64 for value in tensors.values()):
        remarks.append(f"{doubles} tensors of float64, rounded to float32")
    for other in others:
        same = "the same" if chosen.holds_same(other) else "other weights, which are not used"
        remarks.append(f"{tame(other.label)}.* holds {same}")
    origin = read_origin(path, contents.metadata) if chosen.release.title == OWN.title else Origin()
    if origin.pretrains != Origin().pretrains:
        remarks.append(f"pre-trained: {origin.pretrains}")
    left_over = listed(map(group, rest))
    network = chosen.release, chosen.width, chosen.channels
    return Weights(*network, numbers, _match(chosen), left_over, remarks, contents.sha256, origin, label)


def _checked(path: Path, name: str, value: Tensor, place: Tensor) -> Tensor:
    """`value` in the precision of the `place` it goes to. Raises UserError if it cannot be a weight there."""
    if place.is_floating_point() != (value.dtype in FLOATS) or value.layout != torch.strided or value.is_meta:
        raise UserError(
            f"{path}: {name} holds {value.dtype} ({value.layout}); give dense float64, float32, float16 or bfloat16"
        )
    value = value.to(place.dtype)
    if not value.isfinite().all():
        raise UserError(f"{path}: {name} is not finite in float32 (NaN or infinity); these weights are broken")
    return value
