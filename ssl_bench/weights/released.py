"""Which network a file's tensors belong to, and all of its tensors under the network's own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssl_bench.errors import UserError
from ssl_bench.spec.specification import Origin
from ssl_bench.weights import reader_models_genesis, reader_nnssl, reader_swinunetr, reader_unet3d
from ssl_bench.weights.candidates import Candidate, choose, prefixes
from ssl_bench.weights.origin import read_origin
from ssl_bench.weights.release import Release
from ssl_bench.weights.tensors import Contents, listed, read, tame

READERS = (reader_unet3d.read, reader_models_genesis.read, reader_nnssl.read, reader_swinunetr.read)
"""One for each layout, in a file of its own: how it is recognised, whose it is, and its tensors by a network's names.

A reader gives the networks of its layout that begin in a file, whole or not; none for a file of another layout. All are
written from public descriptions."""
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
    found = [one for reader in READERS for one in reader(path, contents)]
    if not found:
        raise _nothing_known(path, contents)
    whole = [one for one in found if one.whole]
    if not whole:
        nearest = max(found, key=lambda one: len(one.tensors))
        raise UserError(
            f"{path}: {_match(nearest)} of a {_title(nearest)}; give all weights of this network, it lacks "
            f"{listed(nearest.missing, 3)}"
        )
    chosen, label = choose(path, whole, which)
    return _weights(path, contents, chosen, [one for one in whole if one is not chosen], label)


def _nothing_known(path: Path, contents: Contents) -> UserError:
    for state in contents.states:
        for prefix in prefixes(state, reader_unet3d.START):
            shape = tuple(state.tensors[prefix + reader_unet3d.START].shape)
            return UserError(f"{path}: holds no 3D U-Net of ssl-bench or GVSL: {reader_unet3d.START} has shape {shape}")
    groups = listed(name.partition(".")[0] for state in contents.states for name in state.tensors)
    return UserError(
        f"{path}: holds no 3D U-Net of ssl-bench or GVSL and no network of Models Genesis, nnssl or Swin UNETR, "
        f"but {groups}"
    )


def _title(found: Candidate) -> str:
    if found.release is reader_models_genesis.GENESIS:
        return "Models Genesis network"
    kind = "3D U-Net" if found.release.network == reader_unet3d.OWN.network else found.release.network
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
    origin = _origin(path, contents, chosen)
    if missing := chosen.missing:
        remarks.append(f"the encoder alone is there; the seed draws the rest ({listed(missing, 3)})")
    if origin.pretrains != Origin().pretrains:
        remarks.append(f"pre-trained: {origin.pretrains}")
    left_over = listed(map(reader_unet3d.group, rest))
    network = chosen.release, chosen.width, chosen.channels
    return Weights(*network, numbers, _match(chosen), left_over, remarks, contents.sha256, origin, label)


def _origin(path: Path, contents: Contents, chosen: Candidate) -> Origin:
    """How they were pre-trained: what a file of ssl-bench says, and what is known of a release."""
    if chosen.release.title == reader_unet3d.OWN.title:
        return read_origin(path, contents.metadata)
    encoder_alone: dict[str, Any] = {"pretrains": "encoder"} if chosen.missing else {}
    return Origin(trained_on=chosen.release.trained_on, **encoder_alone)


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
