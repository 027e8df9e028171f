"""The ways in which weights come, and whose they are.

This project's own layout and that of the released GVSL network hold one network under the same names; where a file
neither says nor shows whose it is, nobody is named.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ssl_bench.weights.origin import KEY
from ssl_bench.weights.reading import Contents


class Layout(NamedTuple):
    """A way in which weights come."""

    title: str
    network: str
    """The backbone's name."""
    licence: str


OWN = Layout("ssl-bench", "unet3d", "as its maker says")
GVSL = Layout("released GVSL", "unet3d", "none stated by its authors: do not redistribute")
UNKNOWN = Layout("3D U-Net of unknown origin", "unet3d", "unknown")
GENESIS = Layout("Models Genesis", "models_genesis", "Arizona State University, non-commercial")

GVSL_HEADS = {"f_conv", "fc_rot", "fc_scl", "fc_shear", "fc_trans", "out_flow", "res_conv", "sp_conv"}


def unet_layout(contents: Contents, prefixes: list[str]) -> Layout:
    """Whose U-Net it is that lies under `prefixes`.

    GVSL's code pre-trains it with heads of known names, and calls the whole ``unet_pre`` in its downstream networks.
    That a module is called ``unet`` tells nothing.
    """
    if KEY in contents.metadata:
        return OWN
    called = any("unet_pre." in prefix for prefix in prefixes)
    return GVSL if called or set(map(group, contents.tensors)) >= GVSL_HEADS else UNKNOWN


def group(name: str) -> str:
    """The part of its network that a tensor belongs to: ``fc_rot`` for ``module.unet_pre.fc_rot.bias``."""
    return re.sub(r"^((module|unet_pre)\.)*", "", name).partition(".")[0]
