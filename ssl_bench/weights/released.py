"""Which network a file's tensors belong to, and all of its tensors under the network's own names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ssl_bench.api.declarations import first_line
from ssl_bench.api.registry import BACKBONES
from ssl_bench.errors import UserError
from ssl_bench.nn.blocks import CHANNELS_PER_GROUP
from ssl_bench.spec.specification import Origin
from ssl_bench.weights.origin import read_network, read_origin
from ssl_bench.weights.releases import GENESIS, OWN, Release, group, unet_release
from ssl_bench.weights.tensors import Contents, listed, read

UNET_START = "inc.double_conv.0.weight"
GENESIS_WIDTH = 64
"""Channels at full resolution of the released network."""
GENESIS_START = "down_tr64.ops.0.conv1.weight"
PREFIX = re.compile(r"((module|unet_pre|unet)\.)*")
"""What wrappers put before a network's names: data parallelism, GVSL's downstream and its pre-training module."""
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
"""What weights may be: float32 holds every number of the two half precisions exactly."""


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

    def __str__(self) -> str:
        groups = f" ({self.left_over})" if self.match.left_over else ""
        parts = [f"{self.match}{groups}", f"layout {self.release.title}", *self.remarks]
        return "; ".join([*parts, f"licence: {self.release.licence}"])


def read_weights(path: Path) -> Weights:
    """The network in a file and all its weights.

    Raises UserError, naming the file, if it does not read, holds no network that is known here, or if a tensor of
    that network is missing, of another shape, of another kind of number, or not finite.
    """
    contents = read(path)
    if (made := read_network(path, contents.metadata)).network != OWN.network:
        release = OWN._replace(network=made.network)
        wanted = _wanted(path, *made)
        return _weights(path, contents, release, made.width, wanted, [""], f"{made.network} of width {made.width}")
    if prefixes := _prefixes(contents.tensors, UNET_START):
        width = _unet_width(path, contents.tensors, prefixes)
        release = unet_release(contents, prefixes)
        wanted = _wanted(path, release.network, width)
        return _weights(path, contents, release, width, wanted, prefixes, f"3D U-Net of width {width}")
    if prefixes := _prefixes(contents.tensors, GENESIS_START):
        wanted = _wanted(path, GENESIS.network, GENESIS_WIDTH)
        return _weights(path, contents, GENESIS, GENESIS_WIDTH, wanted, prefixes, "Models Genesis network")
    groups = listed(name.partition(".")[0] for name in contents.tensors)
    raise UserError(f"{path}: holds no 3D U-Net of ssl-bench or GVSL and no Models Genesis network, but {groups}")


def _wanted(path: Path, network: str, width: int) -> dict[str, Tensor]:
    """The tensors of a network, without their values. Raises UserError for one that does not build."""
    plugin = BACKBONES.load(network)
    try:
        with torch.device("meta"):
            return plugin(width).state_dict()
    except Exception as error:  # Code and width come from elsewhere.
        raise UserError(f"{path}: no {network} of width {width} can be built: {first_line(error)}") from error


def _prefixes(tensors: Mapping[str, Tensor], start: str) -> list[str]:
    """Every prefix under which a network whose first tensor is `start` lies, the shortest first.

    GVSL's downstream files hold the U-Net twice, as ``unet.`` and within the pre-training module as
    ``unet_pre.unet.``: the shorter name is the one that the downstream network itself uses.
    """
    found = [name.removesuffix(start) for name in tensors if name.endswith(start)]
    return sorted((prefix for prefix in found if PREFIX.fullmatch(prefix)), key=len)


def _unet_width(path: Path, tensors: Mapping[str, Tensor], prefixes: list[str]) -> int:
    shapes = {tensors[prefix + UNET_START].shape for prefix in prefixes}
    widths = sorted(shape[0] for shape in shapes if len(shape) == 5 and shape[0] and shape[0] % CHANNELS_PER_GROUP == 0)
    if len(shapes) > 1:
        raise UserError(f"{path}: holds U-Nets of different sizes under {listed(prefixes)}; keep one of them")
    if not widths:
        shape = tuple(shapes.pop())
        raise UserError(f"{path}: holds no 3D U-Net of ssl-bench or GVSL: {UNET_START} has shape {shape}")
    return widths[0]


def _weights(
    path: Path,
    contents: Contents,
    release: Release,
    width: int,
    wanted: Mapping[str, Tensor],
    prefixes: list[str],
    title: str,
) -> Weights:
    prefix, *others = prefixes
    tensors = contents.tensors
    fitting = {
        name: tensors[prefix + name]
        for name, place in wanted.items()
        if prefix + name in tensors and tensors[prefix + name].shape == place.shape
    }
    match = Match(len(fitting), len(wanted) - len(fitting), len(tensors) - len(fitting))
    if match.missing:
        raise UserError(f"{path}: {match} of a {title}; give all weights of this network")
    rest = tensors.keys() - {prefix + name for name in fitting}
    remarks = [f"taken from {prefix}*"] if prefix else []
    numbers = {name: _checked(path, prefix + name, value, wanted[name]) for name, value in fitting.items()}
    if halves := sum(value.dtype in FLOATS[1:] for value in fitting.values()):
        remarks.append(f"{halves} tensors of half precision, read as float32")
    for other in others:
        same = all(other + name in tensors and _equal(tensors[other + name], fitting[name]) for name in fitting)
        remarks.append(f"{other}* {'holds the same' if same else 'holds other weights, which are not used'}")
    origin = read_origin(path, contents.metadata) if release.title == OWN.title else Origin()
    if origin.pretrains != Origin().pretrains:
        remarks.append(f"pre-trained: {origin.pretrains}")
    return Weights(release, width, numbers, match, listed(map(group, rest)), remarks, contents.sha256, origin)


def _checked(path: Path, name: str, value: Tensor, place: Tensor) -> Tensor:
    """`value` in the precision of the `place` it goes to. Raises UserError if it cannot be a weight there."""
    if place.is_floating_point() != (value.dtype in FLOATS) or value.layout != torch.strided or value.is_meta:
        raise UserError(f"{path}: {name} holds {value.dtype} ({value.layout}); give dense float32, float16 or bfloat16")
    value = value.to(place.dtype)
    if not value.isfinite().all():
        raise UserError(f"{path}: {name} is not finite (NaN or infinity); these weights are broken")
    return value


def _equal(one: Tensor, other: Tensor) -> bool:
    kinds = {(tensor.dtype, tensor.layout, tensor.device) for tensor in (one, other)}
    return len(kinds) == 1 and torch.equal(one, other)
