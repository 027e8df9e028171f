"""The forms in which weights are published, and by whom.

This project's own form and that of the released GVSL network hold one network under the same names; where a file
neither says nor shows where it comes from, its origin is called unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ssl_bench.weights.origin import KEY_ENTRY


class Release(NamedTuple):
    """One form in which weights are published."""

    title: str
    network: str
    """The backbone's name."""
    licence: str


OWN = Release("ssl-bench", "unet3d", "as its maker says")
GVSL = Release("released GVSL", "unet3d", "none stated by its authors: do not redistribute")
UNKNOWN = Release("3D U-Net of unknown origin", "unet3d", "unknown")
GENESIS = Release("Models Genesis", "models_genesis", "Arizona State University, non-commercial")

GVSL_HEADS = {"f_conv", "fc_rot", "fc_scl", "fc_shear", "fc_trans", "out_flow", "res_conv", "sp_conv"}


def unet_release(metadata: Mapping[str, str], names: Iterable[str], prefix: str) -> Release:
    """Whose U-Net it is that lies after `prefix` among tensors of these `names`.

    GVSL's code pre-trains it with heads of known names, and calls the whole ``unet_pre`` in its downstream networks.
    That a module is called ``unet`` tells nothing.
    """
    if KEY_ENTRY in metadata:
        return OWN
    return GVSL if "unet_pre." in prefix or set(map(group, names)) >= GVSL_HEADS else UNKNOWN


def group(name: str) -> str:
    """The part of its network that a tensor belongs to: ``fc_rot`` for ``module.unet_pre.fc_rot.bias``."""
    return re.sub(r"^((module|unet_pre)\.)*", "", name).partition(".")[0]
