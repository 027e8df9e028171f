"""Weights into a backbone, and what became of each of its parts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Literal

import torch

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.kinds import Kind, of_voxels
from ssl_bench.api.protocol import ProtocolFacts
from ssl_bench.api.registry import BACKBONES
from ssl_bench.api.rng import seeded_initialisation
from ssl_bench.api.task import TaskFacts
from ssl_bench.data.synthetic.corpus import EMBEDDED
from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.contract import InputContract
from ssl_bench.spec.record import ModuleReport
from ssl_bench.spec.specification import (
    CorpusSpec,
    EvaluationSpec,
    ExternalBackbone,
    HubFile,
    Origin,
    Part,
    PretrainingSpec,
    Stem,
)
from ssl_bench.weights.released import Match, Weights, read_weights
from ssl_bench.weights.stem import entering, over_channels
from ssl_bench.weights.tensors import tame
from ssl_bench.weights.trained_on import made_with


def load_weights(backbone: Backbone, path: Path | None, network: str = "unet3d", stem: Stem = "") -> Match:
    """Load a file into `backbone`, a `network`; None leaves it random.

    `stem` says how they enter if they read another number of channels. Raises UserError unless every tensor finds its
    place.
    """
    if path is None:
        return Match(0, len(backbone.state_dict()), 0)
    weights = check_fits(path, network, backbone.width)
    return _enter(backbone, path, weights, stem)


def build_external(
    external: ExternalBackbone, path: Path, channels: int | None = None, stem: Stem = "", seed: int = 0
) -> tuple[Backbone, Match, str]:
    """The network in a file with its weights, how they fitted, and their licence.

    For volumes of so many `channels` if not of as many as it was made for; then `stem` says how the weights enter, and
    what is new is drawn by `seed`. Raises UserError if the file is not the one that was planned.
    """
    weights = check_fits(path, external.network, external.width, external.weights or None)
    if weights.sha256 != external.sha256:
        raise UserError(f"{path}: changed since its cell was planned; evaluate it anew")
    with seeded_initialisation(seed):
        backbone = BACKBONES.load(external.network).reading(channels or external.channels, external.width)
    match = _enter(backbone, path, weights, stem)
    return backbone.to(memory_format=torch.channels_last_3d), match, licence_of(weights, external.hub)


def start_from(backbone: Backbone, init: ExternalBackbone, path: Path | None) -> None:
    """Give `backbone`, drawn by the seed, the weights of `init` in the file at `path`.

    What the file lacks stays as it was drawn. Raises UserError if the file is not the one that was planned.
    """
    if path is None:
        raise UserError(f"--init {init.name}: where its file lies is not known; plan the cell again")
    weights = check_fits(path, init.network, init.width, init.weights or None)
    if weights.sha256 != init.sha256:
        raise UserError(f"{path}: changed since its cell was planned; pre-train from it anew")
    _enter(backbone, path, weights, "")


def licence_of(weights: Weights, hub: HubFile | None) -> str:
    """The licence by the card of the repository, if there is one, and what is known of the layout's."""
    if hub is None:
        return weights.release.licence
    stated = f"{hub.licence or 'none stated'}, by the card of {hub.repository}"
    return f"{stated}; layout {weights.release.title}: {weights.release.licence}"


def _enter(backbone: Backbone, path: Path, weights: Weights, stem: Stem) -> Match:
    start, match = backbone.state_dict(), weights.match
    drawn = over_channels(weights.tensors, start)
    if drawn and not stem:
        raise UserError(f"{path}: reads {weights.channels} channels, not {backbone.channels_in}; plan its cells anew")
    # Of a file that holds the encoder alone, the rest is as it was drawn.
    backbone.load_state_dict(start | entering(weights.tensors, start, stem))
    if stem != "new":
        return match
    return Match(match.matched - len(drawn), match.missing + len(drawn), match.left_over + len(drawn))


def reset_part(backbone: Backbone, start: Backbone, part: Literal["encoder", "decoder"], match: Match) -> Match:
    """Give `part` of `backbone`, whose weights fitted as `match` says, the weights of `start`; how they fit now."""
    names = backbone.encoder_modules if part == "encoder" else backbone.decoder_modules
    replaced = 0
    for name in names:
        weights = getattr(start, name).state_dict()
        getattr(backbone, name).load_state_dict(weights)
        replaced += len(weights)
    return Match(match.matched - replaced, match.missing + replaced, match.left_over + replaced)


def check_fits(path: Path, network: str, width: int, which: str | None = None) -> Weights:
    """The weights in `path`; `which` names one of several networks.

    Raises UserError unless they are all those of `network` at `width`.
    """
    weights = read_weights(path, which)
    if (weights.release.network, weights.width) != (network, width):
        raise UserError(f"{path}: holds {weights.release.network} of width {weights.width}, not {network} of {width}")
    return weights


def describe_external(
    path: Path,
    weights: Weights | None = None,
    hub: HubFile | None = None,
    trained_on: Iterable[str] = (),
    contract: InputContract | None = None,
) -> ExternalBackbone:
    """The spec of a backbone in a file; `weights` are those of the file, if they have been read.

    `hub` is where it came from. `trained_on` is said of it besides what the file and its layout say, and `contract`
    instead of that of the layout. Raises UserError if the file does not hold all weights of a network that is known
    here, or holds one that is no backbone here.
    """
    weights = weights or read_weights(path)
    if weights.release.network not in BACKBONES.names():
        raise UserError(
            f"{path}: holds {weights.release.title}, whose backbone {weights.release.network} is not here; name one "
            "that reads it with --plugin"
        )
    stem = f"{hub.repository}/{PurePosixPath(hub.file).stem}" if hub else path.stem
    told = tuple(dict.fromkeys([*weights.origin.trained_on, *trained_on]))
    return ExternalBackbone(
        name=f"{stem}:{tame(weights.which)}" if weights.which else stem,
        sha256=weights.sha256,
        width=weights.width,
        channels=weights.channels,
        network=weights.release.network,
        network_source=BACKBONES.source_digest(weights.release.network),
        origin=weights.origin.model_copy(update={"trained_on": told}),
        weights=weights.which,
        contract=contract or weights.release.contract,
        hub=hub,
    )


def origin_of(cell: Cell) -> Origin:
    """What the file of the backbone that the pre-training `cell` makes says of it."""
    spec = cell.pretraining_spec
    modality, region = shown_by(spec.corpus, cell.locations.corpus_region)
    return Origin(pretrains=spec.pretrains, modality=modality, region=region[:100], trained_on=made_with(spec))


def module_report(spec: EvaluationSpec, kind: Kind, protocol: ProtocolFacts, match: Match) -> ModuleReport:
    """Which modules were pre-trained, random and frozen in a cell."""
    network = BACKBONES.load(spec.backbone.network)
    decodes = of_voxels(kind) and protocol.reads == "backbone"
    frozen = protocol.frozen_backbone
    used = [*network.encoder_modules, *(network.decoder_modules if decodes else ())]
    trained = _pretrained_modules(spec.backbone, spec.reset)
    origin = "pre-trained" if set(network.decoder_modules) <= set(trained) else "random"
    decoder = f"{origin}, {'frozen' if frozen else 'trained'}" if decodes else "unused"
    return ModuleReport(
        pretrained=[name for name in used if name in trained],
        random=[*(name for name in used if name not in trained), "head"],
        frozen=used if frozen else [],
        decoder=decoder,
        tensors_matched=match.matched,
        tensors_missing=match.missing,
        tensors_left_over=match.left_over,
    )


def scene_of(
    backbone: PretrainingSpec | ExternalBackbone, facts: TaskFacts, corpus_region: str = ""
) -> Literal["inner", "inter", "unknown", "none"]:
    """Inner scene: the corpus shows the task's modality and region; inter scene: it does not (GVSL section 4.1).

    `corpus_region` is what the user says a folder shows; without a word about corpus or task it is unknown.
    """
    if isinstance(backbone, ExternalBackbone):
        shown = (backbone.origin.modality, backbone.origin.region)
    elif backbone.corpus is None:
        return "none"
    else:
        shown = shown_by(backbone.corpus, corpus_region)
    if "" in shown or facts.region == "unknown":
        return "unknown"
    return "inner" if shown == (facts.modality, facts.region) else "inter"


def shown_by(corpus: CorpusSpec | None, corpus_region: str = "") -> tuple[Literal["", "CT", "MR"], str]:
    """The modality and the region that a corpus shows; empty where they are not known."""
    if corpus is None:
        return "", ""
    if corpus.is_real:
        # Of several channels, CT only if all are.
        recipes = corpus.recipe["intensity"]
        return ("CT" if set([recipes] if isinstance(recipes, str) else recipes) == {"ct"} else "MR"), corpus_region
    return EMBEDDED.modality, EMBEDDED.region


def _pretrained_modules(backbone: PretrainingSpec | ExternalBackbone, reset: Part) -> tuple[str, ...]:
    network = BACKBONES.load(backbone.network)
    encoder = () if backbone.pretrains == "nothing" or reset == "encoder" else network.encoder_modules
    decoder = () if backbone.pretrains != "encoder and decoder" or reset == "decoder" else network.decoder_modules
    return (*encoder, *decoder)
