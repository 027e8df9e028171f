"""Checkpoints of nnssl, in which OpenMind's methods are published (Wald et al., ICCV 2025): ResEnc-L and Primus-M.

A torch file with the entries ``network_weights``, the tensors by the names of dynamic-network-architectures, and
``nnssl_adaptation_plan``, which says the architecture (``architecture_plans.arch_class_name``), where the encoder lies
(``key_to_encoder``, ``key_to_stem``), and how the pre-training's volumes were prepared (``pretrain_plan``).

Methods that train an encoder alone publish no decoder: then the encoder is taken and the decoder is the seed's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from ssl_bench.errors import UserError
from ssl_bench.spec.contract import InputContract
from ssl_bench.weights.candidates import Candidate, candidate
from ssl_bench.weights.network_tensors import tensors_of_backbone
from ssl_bench.weights.origin import Made
from ssl_bench.weights.release import Release
from ssl_bench.weights.tensors import Contents, State, listed, tame

PLAN = "nnssl_adaptation_plan"
RESENC = Release("nnssl ResEnc", "resenc_l", "as its repository says")
PRIMUS = Release("nnssl Primus", "primus_m", "as its repository says")
RESENC_STAGES = {4: "resenc", 6: "resenc_l"}
"""The backbone that has so many stages."""
PRIMUS_DEPTHS = {12: ("primus", 12), 16: ("primus_m", 27)}
"""The backbone that has so many blocks, and its channels for one of its width."""
WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")


def read(path: Path, contents: Contents) -> list[Candidate]:
    """The network of a checkpoint of nnssl. Raises UserError for an architecture that has no reader."""
    plan = contents.described.get(PLAN)
    if not isinstance(plan, Mapping):
        return []
    state = next((state for state in contents.states if state.place == "network_weights"), None)
    if state is None:
        raise UserError(f"{path}: has nnssl's adaptation plan and no network_weights; give the whole checkpoint")
    state = _renamed(state, lambda name: WRAPPERS.sub("", name))
    architecture = _entry(plan, "architecture_plans", "arch_class_name")
    if architecture in ("ResEncL", "ResidualEncoderUNet"):
        return [_resenc(path, plan, state)]
    if isinstance(architecture, str) and architecture.startswith("Primus"):
        return [_primus(path, plan, state)]
    raise UserError(f"{path}: nnssl's architecture {tame(architecture)!r} has no reader; use ResEncL or PrimusM")


def _resenc(path: Path, plan: Mapping[str, Any], state: State) -> Candidate:
    """The stem belongs to the first stage here; the decoder's stages are counted from the coarsest there."""
    stem = _tensor(path, state, "encoder.stem.convs.0.conv.weight", 5)
    stages = len({match[1] for name in state.tensors if (match := re.match(r"encoder\.stages\.(\d+)\.", name))})
    if stages not in RESENC_STAGES:
        raise UserError(f"{path}: holds a residual encoder U-Net of {stages} stages; 4 and 6 have a backbone here")

    def ours(name: str) -> str:
        if name.startswith("encoder.stem."):
            return name.replace("encoder.stem.", "stage1.0.", 1)
        found = re.match(r"(encoder\.stages|decoder\.transpconvs|decoder\.stages)\.(\d+)\.", name)
        if not found:
            return name
        part, number, rest = found[1], int(found[2]), name[found.end() :]
        if part == "encoder.stages":
            return f"stage{number + 1}.{rest}" if number else f"stage1.1.{rest}"
        return f"up{stages - 1 - number}.{'convs' if part == 'decoder.stages' else 'transpconv'}.{rest}"

    made = Made(RESENC_STAGES[stages], stem.shape[0], stem.shape[1])
    return _candidate(path, RESENC, made, plan, _renamed(state, ours), "stage")


def _primus(path: Path, plan: Mapping[str, Any], state: State) -> Candidate:
    """Its blocks are four stages here, and its positions lie on their grid; the pretext's own decoder has no place."""
    key = _entry(plan, "key_to_encoder")
    # A method may wrap the network: encoder.eva.
    wrapper = key.removesuffix("eva") if isinstance(key, str) and key.endswith("eva") else ""
    state = _renamed(state, lambda name: name.removeprefix(wrapper))
    projection = _tensor(path, state, "down_projection.proj.weight", 5)
    depth = len({match[1] for name in state.tensors if (match := re.match(r"eva\.blocks\.(\d+)\.", name))})
    if depth not in PRIMUS_DEPTHS:
        raise UserError(f"{path}: holds a Primus of {depth} blocks; {listed(PRIMUS_DEPTHS)} have a backbone here")
    network, channels_of_width = PRIMUS_DEPTHS[depth]

    def ours(name: str) -> str:
        if found := re.match(r"eva\.blocks\.(\d+)\.", name):
            stage, block = divmod(int(found[1]), depth // 4)
            return f"blocks{stage + 1}.blocks.{block}." + name[found.end() :]
        return name.replace("down_projection.", "tokens.").replace("eva.norm.", "blocks4.norm.")

    state = _renamed(state, ours)
    if (places := state.tensors.pop("eva.pos_embed", None)) is not None and places.dim() == 3:
        side = round(places.shape[1] ** (1 / 3))
        if side**3 == places.shape[1]:
            places = places.transpose(1, 2).reshape(places.shape[0], places.shape[2], side, side, side)
        state.tensors["tokens.position"] = places
    made = Made(network, projection.shape[0] // channels_of_width, projection.shape[1])
    return _candidate(path, PRIMUS, made, plan, state, "tokens.", "blocks")


def _candidate(
    path: Path, release: Release, made: Made, plan: Mapping[str, Any], state: State, *encoder: str
) -> Candidate:
    """The network `made` in `state`, whose names are a backbone's here; those of the `encoder` begin so."""
    wanted = tensors_of_backbone(path, made)
    alone = frozenset(name for name in wanted if name.startswith(encoder))
    release = _described(path, release, plan)._replace(network=made.network)
    return candidate(release, made.width, made.channels, state, "", wanted, alone)


def _renamed(state: State, ours: Callable[[str], str]) -> State:
    return State(state.place, {ours(name): value for name, value in state.tensors.items()})


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
