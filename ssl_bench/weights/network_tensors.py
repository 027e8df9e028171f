"""Which tensors a network of some size has, without their values."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ssl_bench.api.declarations import first_line
from ssl_bench.api.registry import BACKBONES
from ssl_bench.errors import UserError
from ssl_bench.weights.origin import Made


def tensors_of_backbone(path: Path, made: Made) -> dict[str, Tensor]:
    """The tensors of a registered backbone, by its own names. Raises UserError for one that does not build."""
    plugin = BACKBONES.load(made.network)
    try:
        with torch.device("meta"):
            return plugin.reading(made.channels, made.width).state_dict()
    except Exception as error:  # Code and width come from elsewhere.
        raise UserError(f"{path}: no {made.network} of width {made.width} can be built: {first_line(error)}") from error
