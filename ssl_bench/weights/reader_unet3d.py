"""The shared 3D U-Net: files of ssl-bench, the released GVSL network, and what looks like one of them.

This project's own form and that of GVSL hold one network under the same names; where a file neither says nor shows
where it comes from, its origin is called unknown. A file of ssl-bench may hold any other registered backbone too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from ssl_bench.nn.blocks import CHANNELS_PER_GROUP
from ssl_bench.weights.candidates import Candidate, candidate, prefixes
from ssl_bench.weights.network_tensors import tensors_of_backbone
from ssl_bench.weights.origin import KEY_ENTRY, Made, read_network
from ssl_bench.weights.release import Release
from ssl_bench.weights.tensors import Contents

OWN = Release("ssl-bench", "unet3d", "as its maker says")
GVSL = Release("released GVSL", "unet3d", "none stated by its authors: do not redistribute")
UNKNOWN = Release("3D U-Net of unknown origin", "unet3d", "unknown")

START = "inc.double_conv.0.weight"
GVSL_HEADS = {"f_conv", "fc_rot", "fc_scl", "fc_shear", "fc_trans", "out_flow", "res_conv", "sp_conv"}


def read(path: Path, contents: Contents) -> list[Candidate]:
    """The U-Nets of some width that begin in the file; of a file of ssl-bench the backbone that it names."""
    made = read_network(path, contents.metadata)
    if made.network != OWN.network:
        release = OWN._replace(network=made.network)
        tensors = tensors_of_backbone(path, made)
        return [candidate(release, made.width, made.channels, contents.states[0], "", tensors)]
    found: list[Candidate] = []
    wanted: dict[Made, dict[str, Tensor]] = {}
    for state in contents.states:
        for prefix in prefixes(state, START):
            if unet := _unet(state.tensors[prefix + START]):
                wanted[unet] = wanted.get(unet) or tensors_of_backbone(path, unet)
                release = _release(contents.metadata, state.tensors, prefix)
                found.append(candidate(release, unet.width, unet.channels, state, prefix, wanted[unet]))
    return found


def group(name: str) -> str:
    """The part of its network that a tensor belongs to: ``fc_rot`` for ``module.unet_pre.fc_rot.bias``."""
    return re.sub(r"^((module|unet_pre)\.)*", "", name).partition(".")[0]


def _unet(first: Tensor) -> Made | None:
    """The U-Net that has this first tensor; None for one that is no U-Net's."""
    if first.dim() != 5 or first.shape[0] % CHANNELS_PER_GROUP or 0 in first.shape:
        return None
    return Made(OWN.network, width=first.shape[0], channels=first.shape[1])


def _release(metadata: Mapping[str, str], names: Iterable[str], prefix: str) -> Release:
    """Whose U-Net it is that lies after `prefix` among tensors of these `names`.

    GVSL's code pre-trains it with heads of known names, and calls the whole ``unet_pre`` in its downstream networks.
    That a module is called ``unet`` tells nothing.
    """
    if KEY_ENTRY in metadata:
        return OWN
    return GVSL if "unet_pre." in prefix or set(map(group, names)) >= GVSL_HEADS else UNKNOWN
