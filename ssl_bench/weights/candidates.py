"""The networks in a file of weights, and the one of them that is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ssl_bench.errors import UserError
from ssl_bench.weights.release import Release
from ssl_bench.weights.tensors import State, listed

GVSL_PREFIX = re.compile(r"((module|unet_pre|unet)\.)*")
"""What data parallelism, GVSL's downstream network and its pre-training module put before a network's names."""


class Candidate(NamedTuple):
    """One network in a file."""

    release: Release
    width: int
    """Channels at full resolution."""
    channels: int
    """Those of the volumes that it reads."""
    state: State
    """All that its dictionary holds."""
    prefix: str
    """What precedes its names there, up to a dot."""
    wanted: Mapping[str, Tensor]
    """The tensors that a network of this kind has, without their values."""
    tensors: dict[str, Tensor]
    """Those that are there in the wanted shape, by the network's own names."""
    encoder: frozenset[str] = frozenset()
    """The names of the encoder's tensors where they may be all that a file of this kind holds; else empty."""

    @property
    def label(self) -> str:
        """What tells it from others in the file, such as ``teacher.module``; a dot where nothing precedes its names."""
        return f"{self.state.place}.{self.prefix}".strip(".") or "."

    @property
    def missing(self) -> list[str]:
        """The names of the tensors that are not there."""
        return [name for name in self.wanted if name not in self.tensors]

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, or nothing of the encoder where that may come alone."""
        return not self.missing or (bool(self.encoder) and self.encoder <= self.tensors.keys())

    def holds_same(self, other: Candidate) -> bool:
        """Whether the weights are those of `other`, bit by bit."""
        pairs = zip(self.tensors.values(), other.tensors.values(), strict=False)
        return self.tensors.keys() == other.tensors.keys() and all(_equal(*pair) for pair in pairs)


def candidate(
    release: Release,
    width: int,
    channels: int,
    state: State,
    prefix: str,
    wanted: Mapping[str, Tensor],
    encoder: frozenset[str] = frozenset(),
) -> Candidate:
    """What of a network's `wanted` tensors lies in `state` after `prefix`.

    Where the `encoder` may come alone, a part of a decoder is none: it is left over.
    """
    found = {name: state.tensors.get(prefix + name) for name in wanted}
    fitting = {name: value for name, value in found.items() if value is not None and value.shape == wanted[name].shape}
    if encoder and len(fitting) < len(wanted) and encoder <= fitting.keys():
        fitting = {name: value for name, value in fitting.items() if name in encoder}
    return Candidate(release, width, channels, state, prefix, wanted, fitting, encoder)


def prefixes(state: State, start: str) -> list[str]:
    """Whatever precedes the name of a network's first tensor, `start`, in `state`: the shortest first.

    Since every other tensor of the network has to be there after the same prefix, in its shape, any is taken.
    """
    found = [name.removesuffix(start) for name in state.tensors if name.endswith(start)]
    return sorted((prefix for prefix in found if prefix[-1:] in ("", ".")), key=len)


def choose(path: Path, candidates: Sequence[Candidate], which: str | None) -> tuple[Candidate, str]:
    """The network that is meant, and its label if it takes one to say so, else nothing.

    `which` is a label, its beginning or an entry in it, such as ``teacher``. Raises UserError where there is none such,
    and where several hold different weights.
    """
    usual = _usual(candidates)
    if which is None:
        if usual is None:
            raise _unclear(path, "holds several networks,", candidates, "name one")
        return usual, ""
    meant = [one for one in candidates if one.label == which] or [
        one for one in candidates if one.label.startswith(f"{which}.") or which in one.label.split(".")
    ]
    if not meant:
        raise _unclear(path, f"--weights {which}: holds no such network, but", candidates, "name one of them")
    chosen = _usual(meant)
    if chosen is None:
        raise _unclear(path, f"--weights {which}: holds several such networks,", meant, "name one")
    return chosen, "" if usual is not None and chosen.holds_same(usual) else chosen.label


def _usual(candidates: Sequence[Candidate]) -> Candidate | None:
    """The one that is taken unless told otherwise; None if they differ.

    GVSL's downstream files hold the U-Net twice, as ``unet.`` and within the pre-training module as
    ``unet_pre.unet.``: the shorter name is the one that the downstream network itself uses.
    """
    first = candidates[0]
    gvsl = all(
        one.state is first.state
        and (one.width, one.channels) == (first.width, first.channels)
        and GVSL_PREFIX.fullmatch(one.prefix)
        for one in candidates
    )
    return first if gvsl or all(one.holds_same(first) for one in candidates[1:]) else None


def _unclear(path: Path, said: str, candidates: Sequence[Candidate], way_out: str) -> UserError:
    return UserError(f"{path}: {said} {listed(one.label for one in candidates)}; {way_out} with --weights NAME")


def _equal(one: Tensor, other: Tensor) -> bool:
    dense = all(tensor.layout == torch.strided and not tensor.is_meta for tensor in (one, other))
    return dense and one.dtype == other.dtype and torch.equal(one, other)
