"""How a recipe is written down: its words are part of every cell's key."""

from __future__ import annotations

from ssl_bench.api.preprocessing import Preprocessing

FIRST = {
    "spacing_mm": 1.0,
    "intensity": "ct",
    "intensity_offset": 1024.0,
    "region": "whole",
    "margin_mm": 10.0,
    "size": [128, 160, 160],
    "lungs": "auto",
}
"""The fields of the first cells that were planned."""


def test_a_later_field_is_written_down_only_where_it_says_something() -> None:
    recipe = Preprocessing(intensity="ct", region="whole")
    assert recipe.model_dump(mode="json") == FIRST
    changed = recipe.model_copy(update={"voxel_mm": (0.1, 12.0)})
    assert changed.model_dump(mode="json") == FIRST | {"voxel_mm": [0.1, 12.0]}
    changed = recipe.model_copy(update={"label_header": "image"})
    assert Preprocessing.model_validate(changed.model_dump(mode="json")) == changed
