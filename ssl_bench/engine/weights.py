"""Weights into a backbone, and what became of each of its parts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ssl_bench.backbone import CHANNELS_PER_GROUP, DECODER_MODULES, ENCODER_MODULES, UNet3D
from ssl_bench.cells.record import ModuleReport
from ssl_bench.cells.science import EvaluationScience, ExternalBackbone, PretrainingScience
from ssl_bench.cohort.corpus import EMBEDDED
from ssl_bench.errors import UserError
from ssl_bench.registry import METHODS
from ssl_bench.task import TaskFacts


class Match(NamedTuple):
    """How a file's tensors fitted a backbone."""

    matched: int
    missing: int
    left_over: int

    def __str__(self) -> str:
        return f"{self.matched} tensors matched, {self.missing} missing, {self.left_over} left over"


def load_weights(backbone: UNet3D, path: Path | None) -> Match:
    """Load safetensors into `backbone`; None leaves it random. Raises UserError unless every tensor finds its place."""
    if path is None:
        return Match(0, len(backbone.state_dict()), 0)
    tensors = read_tensors(path)
    match = _match(path, tensors, backbone.width)
    backbone.load_state_dict({name: tensors[name].float() for name in backbone.state_dict()})
    return match


def check_fits(path: Path, width: int) -> Match:
    """Count how the tensors in `path` fit a backbone of `width`. Raises UserError unless every place is filled."""
    return _match(path, read_tensors(path), width)


def _match(path: Path, tensors: dict[str, Tensor], width: int) -> Match:
    with torch.device("meta"):
        wanted = UNet3D(width).state_dict()
    fitting = {name for name, value in tensors.items() if name in wanted and wanted[name].shape == value.shape}
    match = Match(len(fitting), len(wanted) - len(fitting), len(tensors) - len(fitting))
    if match.missing:
        raise UserError(f"{path}: {match} of a 3D U-Net of width {width}; give all weights of this U-Net")
    return match


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises UserError if it does not read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = "is a folder" if path.is_dir() else "no such file" if not path.exists() else "not a safetensors file"
        raise UserError(f"{path}: {reason}; give a file written by ssl-bench pretrain") from error


def describe_external(path: Path) -> ExternalBackbone:
    """The science of a backbone in a file. Raises UserError if it does not hold this U-Net's weights."""
    tensors = read_tensors(path)
    first = tensors.get("inc.double_conv.0.weight")
    if first is None or first.ndim != 5 or first.shape[0] % CHANNELS_PER_GROUP:
        raise UserError(f"{path}: holds no 3D U-Net of ssl-bench; give a file written by ssl-bench pretrain")
    return ExternalBackbone(name=path.stem, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), width=first.shape[0])


def module_report(
    science: EvaluationScience, kind: Literal["segmentation", "classification"], frozen: bool, match: Match
) -> ModuleReport:
    """Which modules were pre-trained, random and frozen in a cell."""
    used = [*ENCODER_MODULES, *(DECODER_MODULES if kind == "segmentation" else ())]
    trained = _pretrained_modules(science.backbone)
    origin = "pre-trained" if set(DECODER_MODULES) <= set(trained) else "random"
    decoder = f"{origin}, {'frozen' if frozen else 'trained'}" if kind == "segmentation" else "unused"
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
    backbone: PretrainingScience | ExternalBackbone, facts: TaskFacts
) -> Literal["inner", "inter", "unknown", "none"]:
    """Inner scene: the corpus shows the task's modality and region; inter scene: it does not (GVSL section 4.1)."""
    if isinstance(backbone, ExternalBackbone):
        return "unknown"
    if backbone.corpus is None:
        return "none"
    same = (EMBEDDED.modality, EMBEDDED.region) == (facts.modality, facts.region)
    return "inner" if same else "inter"


def paradigm_of(backbone: PretrainingScience | ExternalBackbone) -> str:
    """The paradigm of the method behind a backbone; ``external`` for weights from a file."""
    if isinstance(backbone, ExternalBackbone):
        return "external"
    return METHODS.load(backbone.method).facts.paradigm


def _pretrained_modules(backbone: PretrainingScience | ExternalBackbone) -> tuple[str, ...]:
    if isinstance(backbone, ExternalBackbone):
        return (*ENCODER_MODULES, *DECODER_MODULES)
    pretrains = METHODS.load(backbone.method).facts.pretrains
    if pretrains == "nothing":
        return ()
    return ENCODER_MODULES if pretrains == "encoder" else (*ENCODER_MODULES, *DECODER_MODULES)
