"""Which options of a row are searched, and which configurations are tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_bench.api.method_facts import PRETRAINING_OPTIONS
from ssl_bench.api.registry import METHODS, PROTOCOLS
from ssl_bench.api.rng import numpy_generator
from ssl_bench.api.search import Choice, Range, searched

Configuration = Mapping[str, Any]
"""Options of a method by name; those that are not there are the preset's."""


def space_of(method: str, protocol: str, volumes: int) -> dict[str, Range]:
    """The options that decide the score of `method` under `protocol`, pre-trained on so many `volumes`, if any."""
    plugin = METHODS.load(method)
    found = searched(plugin.Config)
    if PROTOCOLS.load(protocol).facts.frozen_backbone:
        found = {name: range_ for name, range_ in found.items() if not name.startswith("finetune_")}
    if plugin.facts.pretrains == "nothing":
        return {name: range_ for name, range_ in found.items() if name not in PRETRAINING_OPTIONS}
    batches = [
        batch
        for batch in getattr(found.pop("batch", None), "values", ())
        if plugin.facts.smallest_batch <= batch <= volumes and batch % plugin.facts.grouped == 0
    ]
    # One batch is no choice.
    return found | ({"batch": Choice(tuple(batches))} if len(batches) > 1 else {})


def configurations(space: Mapping[str, Range], count: int, seed: int) -> list[Configuration]:
    """`count` configurations out of `space`: no option changed in the first, the others drawn as `seed` says.

    A Latin hypercube: of each option's range, every equal part is drawn from once. What is drawn for an option rests on
    its name alone, so that rows meet the same learning rates. An empty space has one configuration.
    """
    if not space:
        return [{}]
    drawn = count - 1
    columns = {}
    for name, range_ in space.items():
        generator = numpy_generator(seed, "tuning", name)
        quantiles = (generator.permutation(drawn) + generator.random(drawn)) / max(drawn, 1)
        columns[name] = [range_.at(float(quantile)) for quantile in quantiles]
    return [{}, *({name: values[number] for name, values in columns.items()} for number in range(drawn))]
