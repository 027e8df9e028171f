"""ssl-bench: self-supervised learning methods for 3D medical images, compared on equal terms.

A plugin imports everything from here: the contracts of `ssl_bench.api` and the building blocks that plugins use most.
`load_results` gives a results folder as data frames. A name is imported when it is asked for: neither torch nor pandas
is before that.
"""

from __future__ import annotations

import getpass
import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl_bench.api import *  # noqa: F403
    from ssl_bench.nn.distributed import gathered as gathered
    from ssl_bench.nn.heads import InFloat32 as InFloat32
    from ssl_bench.nn.heads import RestorationHead as RestorationHead
    from ssl_bench.nn.losses import ncc_loss as ncc_loss
    from ssl_bench.nn.losses import smoothness_loss as smoothness_loss
    from ssl_bench.nn.losses import soft_dice_loss as soft_dice_loss
    from ssl_bench.nn.warp import affine_displacement as affine_displacement
    from ssl_bench.nn.warp import affine_matrix as affine_matrix
    from ssl_bench.nn.warp import compose as compose
    from ssl_bench.nn.warp import warp as warp
    from ssl_bench.report.results import Results as Results
    from ssl_bench.report.results import load_results as load_results

__version__ = "0.1.0"
_NAMES = {
    "nn.distributed": ("gathered",),
    "nn.heads": ("InFloat32", "RestorationHead"),
    "nn.losses": ("ncc_loss", "smoothness_loss", "soft_dice_loss"),
    "nn.warp": ("affine_displacement", "affine_matrix", "compose", "warp"),
    "report.results": ("Results", "load_results"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def _name_nameless_user() -> None:
    """Call a user without a name by the number, ``uid-1234``, in this process and its children.

    Containers start with numbers that no passwd entry names, and MONAI asks for the user's name when it is imported.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):  # Python 3.13 makes the first the second.
        os.environ["USER"] = os.environ["LOGNAME"] = f"uid-{os.getuid()}"


_name_nameless_user()


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # A folder of the package is imported under its own name, and all that is not listed here belongs to the contracts.
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *dir(importlib.import_module(f"{__name__}.api"))})
