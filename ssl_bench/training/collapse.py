"""Whether a representation has collapsed: over volumes at the bottleneck, and over voxels at every stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.rng import numpy_generator

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RANKED_VOLUMES = 2
"""So many volumes show the ranks of the stages: a look at them costs a fraction of a step."""
RANKED_VOXELS = 2048
"""Of each volume at most so many voxels a stage, drawn once: many times the channels of any stage but the coarsest."""


def collapse_of_backbone(fabric: Fabric, backbone: Backbone, batches: Iterable[Tensor]) -> dict[str, float]:
    """`collapse_measures` of what `backbone` makes of `batches` (B, C, D, H, W), which are on its device."""
    with torch.no_grad(), fabric.autocast():
        features = [backbone.pool(volumes) for volumes in batches]
    return collapse_measures(torch.cat(features))


def collapse_measures(features: Tensor) -> dict[str, float]:
    """Two measures of collapse of pooled global features (N, channels), and N as `volumes`.

    `feature_std`, the mean standard deviation of the L2-normalised features (1/sqrt(channels) when they fill the
    sphere, 0 when collapsed: SimSiam, CVPR 2021, section 4.1), and `effective_rank` of the features, at most N - 1.
    """
    from lightly.utils.debug import std_of_l2_normalized

    features = features.float().cpu()
    return {
        "feature_std": float(std_of_l2_normalized(features)),
        "effective_rank": _rank_by(torch.linalg.svdvals(features - features.mean(0))),
        "volumes": float(len(features)),
    }


class Stage(NamedTuple):
    """What one stage of a backbone gives."""

    rank: float
    """See `channel_rank`."""
    channels: int


def stages_of(fabric: Fabric, backbone: Backbone, volumes: Tensor) -> dict[str, Stage]:
    """What every stage of encoder and decoder makes of `volumes` (B, C, D, H, W), by the stage's name.

    A stage is a module that the backbone names in `encoder_modules` or `decoder_modules`; one that does not run, or
    gives no feature map, is left out. Its voxels are drawn the same way each time. Buffers stay as they were.
    """
    outputs: dict[str, Tensor] = {}
    with torch.no_grad(), fabric.autocast(), unchanged_buffers(backbone), _watched(backbone, outputs):
        backbone(volumes)
    return {name: Stage(channel_rank(_drawn_voxels(found)), found.shape[1]) for name, found in outputs.items()}


def channel_rank(features: Tensor) -> float:
    """The effective rank of the covariance of features (voxels, channels) over the voxels; 1 is one direction.

    The exponential of the entropy of the covariance's normalised singular values (Roy and Vetterli, EUSIPCO 2007),
    which are the shares of the variance along its principal axes; in float64. Of the features themselves, whose
    singular values are the roots of these, one direction with 97 % of the variance would still be several. Without any
    variance it is 1.
    """
    centred = features.double() - features.double().mean(0)
    return _rank_by(torch.linalg.eigvalsh(centred.T @ centred).clamp_min(0))


@contextmanager
def unchanged_buffers(module: nn.Module) -> Iterator[None]:
    """Running statistics that `module` keeps are afterwards what they were before."""
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    yield
    for buffer, before in buffers:
        buffer.copy_(before)


def _rank_by(singular: Tensor) -> float:
    shares = singular / singular.sum().clamp_min(torch.finfo(torch.float32).tiny)
    return float(torch.special.entr(shares).sum().exp())


@contextmanager
def _watched(backbone: Backbone, outputs: dict[str, Tensor]) -> Iterator[None]:
    """What the stages give is put into `outputs`, in the order of the backbone's names."""

    def keep(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 5:
            outputs[name] = output.detach()

    with ExitStack() as hooks:
        for name in (*backbone.encoder_modules, *backbone.decoder_modules):
            stage: nn.Module = getattr(backbone, name)
            hook = stage.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
            hooks.callback(hook.remove)
        yield


def _drawn_voxels(features: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (voxels, C) on the CPU: of each volume the same `RANKED_VOXELS`, or all that it has."""
    rows = features.permute(0, 2, 3, 4, 1).flatten(1, 3)
    chosen = numpy_generator("ranked voxels").permutation(rows.shape[1])[:RANKED_VOXELS]
    return rows[:, torch.from_numpy(chosen).to(rows.device)].flatten(0, 1).cpu()
