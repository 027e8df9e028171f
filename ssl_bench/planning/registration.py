"""What a planned cell needs to be known: plugins in files, and tasks that folders define."""

from __future__ import annotations

from ssl_bench.api.registry import add_plugin_file
from ssl_bench.data.layouts.own_tasks import register_own
from ssl_bench.spec.cell import Cell


def register(cell: Cell) -> None:
    """Make the cell's plugin files known, and the task that its folder defines. Raises UserError if one is gone."""
    for file in cell.plugins:
        add_plugin_file(file)
    register_own(cell.locations)
