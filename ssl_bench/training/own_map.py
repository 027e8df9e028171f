"""How the method that made a backbone lays one volume onto another by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ssl_bench.api.registry import METHODS
from ssl_bench.errors import UserError
from ssl_bench.store.snapshots import matching_file
from ssl_bench.training.descent import on_device
from ssl_bench.training.pretraining import build_method, matching_heads
from ssl_bench.weights.origin import KEY_ENTRY

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ssl_bench.api.backbone import Backbone
    from ssl_bench.api.method import Method
    from ssl_bench.spec.cell import Cell


class OfMethod:
    """The map of `method`, see `ssl_bench.api.measurement.OwnMap`, at the cell's precision."""

    def __init__(self, fabric: Fabric, method: Method) -> None:
        self._fabric = fabric
        self._method = fabric.to_device(method).eval()

    def __call__(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """See `OwnMap`."""
        with torch.no_grad(), self._fabric.autocast():
            found: Tensor = self._method.displacement(*(on_device(self._fabric, one) for one in (fixed, moving)))
        return found[0].float().cpu()


def own_map(fabric: Fabric, cell: Cell, backbone: Backbone, weights: Path | None) -> OfMethod | None:
    """That of the method which made the `backbone` of the measurement `cell`, whose file is `weights`.

    None for controls, for a method that matches nothing, for weights from elsewhere or made on other channels, and for
    a pre-training that kept no heads. Raises UserError for heads that do not read, or are another pre-training's.
    """
    if cell.pretraining is None or cell.evaluation.control or cell.evaluation.stem or weights is None:
        return None
    made_by, path = cell.pretraining.pretraining_spec, matching_file(weights.parent)
    if not METHODS.load(made_by.method).matching_modules or not path.exists():
        return None
    method = build_method(made_by.model_copy(update={"init": None}))
    method.backbone.load_state_dict(backbone.state_dict())
    _load_heads(method, path, made_by.key)
    return OfMethod(fabric, method)


def _load_heads(method: Method, path: Path, key: str) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            made_by = (file.metadata() or {}).get(KEY_ENTRY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if made_by != key:
            raise UserError(f"{path}: holds heads of the pre-training {made_by}; delete it, and pre-train anew")
        matching_heads(method).load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: does not read as the heads of its method; delete it, and pre-train anew") from error
