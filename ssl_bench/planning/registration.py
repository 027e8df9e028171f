"""What a plan names is made known before its cell runs, and compared with what the cell was planned from."""

from __future__ import annotations

from ssl_bench.api.registry import METHODS, add_plugin_file
from ssl_bench.data.layouts.own_tasks import register_own
from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.specification import NUMERICS_VERSION, PretrainingSpec


def _declared(cell: Cell) -> dict[str, str]:
    """What the labels of the cell's task were said to be, by its name; empty where nothing was said."""
    volumes = cell.spec.data
    if volumes is None or "kind" not in volumes.recipe:
        return {}
    return {cell.evaluation.task: volumes.recipe["kind"]}


def register(cell: Cell) -> None:
    """Make the cell's plugin files known, and the task that its folder defines.

    Raises UserError if one is gone, or if the method or the numerics are not those of the plan, which may come from
    another installation.
    Volumes and files of weights are compared when they are read.
    """
    for file in cell.plugins:
        add_plugin_file(file)
    register_own(cell.locations, _declared(cell))
    if cell.spec.numerics != NUMERICS_VERSION:
        raise UserError(
            f"cell {cell.key}: planned with version {cell.spec.numerics} of the shared numerical code, and here is "
            f"version {NUMERICS_VERSION}; install the versions that ssl-bench reproduce names, or plan it again with "
            "ssl-bench run"
        )
    backbone = cell.backbone
    if isinstance(backbone, PretrainingSpec):
        facts, source = METHODS.load(backbone.method).facts, METHODS.source_digest(backbone.method)
        if (facts.version, source) != (backbone.method_version, backbone.plugin_source):
            raise UserError(
                f"cell {cell.key}: method {backbone.method!r} is another one here than in its plan; install the "
                "versions that ssl-bench reproduce names, or plan it again with ssl-bench run"
            )
