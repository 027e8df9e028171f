"""Checkpoints of nnssl, in which OpenMind's methods are published (Wald et al., ICCV 2025): ResEnc-L and Primus-M.

A torch file with the entries ``network_weights``, the tensors by the names of dynamic-network-architectures, and
``nnssl_adaptation_plan``, which says the architecture (``architecture_plans.arch_class_name``), where the encoder lies
(``key_to_encoder``, ``key_to_stem``), and how the pre-training's volumes were prepared (``pretrain_plan``).

Methods that train an encoder alone publish no decoder: then the encoder is taken and the decoder is the seed's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from torch import Tensor

from ssl_bench.errors import UserError
from ssl_bench.spec.contract import InputContract
from ssl_bench.weights.candidates import Candidate, candidate
from ssl_bench.weights.network_tensors import tensors_of_library
from ssl_bench.weights.release import Release
from ssl_bench.weights.tensors import Contents, State, listed, tame

PLAN = "nnssl_adaptation_plan"
RESENC = Release("nnssl ResEnc", "resenc", "as its repository says")
PRIMUS = Release("nnssl Primus", "primus", "as its repository says")
RESENC_ENCODER, PRIMUS_ENCODER = ("encoder.",), ("eva.", "down_projection.")
WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")


def read(path: Path, contents: Contents) -> list[Candidate]:
    """The network of a checkpoint of nnssl. Raises UserError for an architecture that has no reader."""
    plan = contents.described.get(PLAN)
    if not isinstance(plan, Mapping):
        return []
    state = next((state for state in contents.states if state.place == "network_weights"), None)
    if state is None:
        raise UserError(f"{path}: has nnssl's adaptation plan and no network_weights; give the whole checkpoint")
    state = state._replace(tensors={WRAPPERS.sub("", name): value for name, value in state.tensors.items()})
    architecture = _entry(plan, "architecture_plans", "arch_class_name")
    if architecture in ("ResEncL", "ResidualEncoderUNet"):
        return [_resenc(path, plan, state)]
    if isinstance(architecture, str) and architecture.startswith("Primus"):
        return [_primus(path, plan, state)]
    raise UserError(f"{path}: nnssl's architecture {tame(architecture)!r} has no reader; use ResEncL or PrimusM")


class ResEncSizes(NamedTuple):
    """The sizes of a residual encoder U-Net, read off its tensors."""

    channels: int
    features: list[int]
    blocks: list[int]


def resenc_tensors(path: Path, sizes: ResEncSizes) -> dict[str, Tensor]:
    """The tensors of nnU-Net's residual encoder U-Net: 3 x 3 x 3, strides of 2, one convolution a decoder's stage.

    This names the backbone: where `RESENC.network` is registered under these names, its own tensors may stand here.
    """
    from torch import nn

    try:
        from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
    except ImportError as error:
        raise _lacks_library(path) from error
    stages = len(sizes.features)
    return tensors_of_library(
        path,
        "residual encoder U-Net",
        ResidualEncoderUNet,
        *(sizes.channels, stages, sizes.features, nn.Conv3d, 3, [1] + [2] * (stages - 1), sizes.blocks, 1),
        n_conv_per_stage_decoder=1,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )


def _resenc(path: Path, plan: Mapping[str, Any], state: State) -> Candidate:
    stem = _tensor(path, state, "encoder.stem.convs.0.conv.weight", 5)
    features: list[int] = []
    blocks: list[int] = []
    while f"encoder.stages.{len(features)}.blocks.0.conv1.conv.weight" in state.tensors:
        start = f"encoder.stages.{len(features)}.blocks."
        features.append(_tensor(path, state, f"{start}0.conv1.conv.weight", 5).shape[0])
        numbers = [re.match(rf"{re.escape(start)}(\d+)\.", name) for name in state.tensors]
        blocks.append(len({number[1] for number in numbers if number}))
    wanted = resenc_tensors(path, ResEncSizes(stem.shape[1], features, blocks))
    # The last layers are the pretext's, one for each scale: no feature passes through them.
    wanted = {name: value for name, value in wanted.items() if ".seg_layers." not in name}
    encoder = frozenset(name for name in wanted if name.startswith(RESENC_ENCODER))
    release = _described(path, RESENC, plan)
    return candidate(release, stem.shape[0], stem.shape[1], state, "", wanted, encoder)


class PrimusSizes(NamedTuple):
    """The sizes of a Primus, read off its tensors and its plan."""

    channels: int
    width: int
    depth: int
    heads: int
    patch: tuple[int, int, int]
    """Voxels of a token."""
    shape: tuple[int, int, int]
    """Voxels of the window, of which each token has a place of its own."""


def primus_tensors(path: Path, sizes: PrimusSizes) -> dict[str, Tensor]:
    """The tensors of a Primus (Wald et al. 2025).

    This names the backbone: where `PRIMUS.network` is registered under these names, its own tensors may stand here.
    """
    try:
        from dynamic_network_architectures.architectures.primus import Primus
    except ImportError as error:
        raise _lacks_library(path) from error
    scaled = {"init_values": 0.1, "scale_attn_inner": True}
    first = (sizes.channels, sizes.width, sizes.patch, 1, sizes.depth, sizes.heads, sizes.shape)
    return tensors_of_library(path, "Primus", Primus, *first, **scaled)


def _primus(path: Path, plan: Mapping[str, Any], state: State) -> Candidate:
    """As the plan says it lies, ``encoder.eva`` where a method wraps it."""
    key = _entry(plan, "key_to_encoder")
    wrapper = key.removesuffix("eva") if isinstance(key, str) and key.endswith("eva") else ""
    inner = {name.removeprefix(wrapper): value for name, value in state.tensors.items() if name.startswith(wrapper)}
    state = State(f"{state.place}.{wrapper}".rstrip("."), inner)
    projection = _tensor(path, state, "down_projection.proj.weight", 5)
    width, channels, *patch = projection.shape
    shape = tuple(_contract(path, plan).patch or ())
    if len(shape) != 3:
        raise UserError(f"{path}: its adaptation plan states no patch_size, without which a Primus has no places")
    numbers = [re.match(r"eva\.blocks\.(\d+)\.", name) for name in inner]
    depth = len({number[1] for number in numbers if number})
    # Heads split the width and have no tensors: 72 channels each in PrimusM (864 of 12), and in S, B and L 66 or more.
    heads = max(1, width // 72)
    sizes = PrimusSizes(channels, width, depth, heads, (patch[0], patch[1], patch[2]), (shape[0], shape[1], shape[2]))
    wanted = {name: value for name, value in primus_tensors(path, sizes).items() if name != "mask_token"}
    encoder = frozenset(name for name in wanted if name.startswith(PRIMUS_ENCODER))
    return candidate(_described(path, PRIMUS, plan), width, channels, state, "", wanted, encoder)


def _described(path: Path, release: Release, plan: Mapping[str, Any]) -> Release:
    """`release` with what the adaptation plan says of the volumes."""
    dataset = _entry(plan, "pretrain_plan", "dataset_name")
    trained_on = (tame(dataset),) if isinstance(dataset, str) and dataset else ()
    return release._replace(contract=_contract(path, plan), trained_on=trained_on)


def _contract(path: Path, plan: Mapping[str, Any]) -> InputContract:
    """Of the first configuration of the plan; nnssl turns no volume, so how its axes lay is not stated."""
    configurations = _entry(plan, "pretrain_plan", "configurations")
    first: Any = next(iter(configurations.values()), {}) if isinstance(configurations, Mapping) else {}
    found: Mapping[str, Any] = first if isinstance(first, Mapping) else {}
    schemes = found.get("normalization_schemes")
    schemes = schemes if isinstance(schemes, list | tuple) else []
    spacing, patch = found.get("spacing"), found.get("patch_size")
    try:
        return InputContract(
            spacing_mm=tuple(spacing) if isinstance(spacing, list | tuple) else None,
            intensity="z-score" if "ZScoreNormalization" in schemes else "",
            patch=tuple(patch) if isinstance(patch, list | tuple) else None,
        )
    except (ValidationError, TypeError) as error:
        raise UserError(f"{path}: the spacing or patch_size in its adaptation plan are no three numbers") from error


def _entry(plan: Mapping[str, Any], *names: str) -> Any:
    found: Any = plan
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _tensor(path: Path, state: State, name: str, dimensions: int) -> Tensor:
    value = state.tensors.get(name)
    if value is None or value.dim() != dimensions:
        groups = listed(name.partition(".")[0] for name in state.tensors)
        raise UserError(f"{path}: has nnssl's adaptation plan and no {name} of {dimensions} dimensions, but {groups}")
    return value


def _lacks_library(path: Path) -> UserError:
    return UserError(
        f"{path}: a checkpoint of nnssl needs a package that is not here; pip install dynamic-network-architectures"
    )
