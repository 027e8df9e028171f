"""Which options are searched, and what is drawn of them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest

from ssl_bench.api.method import MethodConfig
from ssl_bench.api.registry import METHODS
from ssl_bench.api.search import Choice, LogUniform, searched
from ssl_bench.tuning.space import configurations, space_of

FINETUNE = "finetune-v1"


def test_an_option_is_searched_if_its_type_has_a_range() -> None:
    class Config(MethodConfig):
        known: Annotated[float, LogUniform(0.1, 10)] = 1.0
        other: int = 3

    own = {name: found for name, found in searched(Config).items() if name not in MethodConfig.model_fields}
    assert own == {"known": LogUniform(0.1, 10)}


def test_logarithmic_ranges_keep_their_ends_and_give_each_ratio_its_share() -> None:
    range_ = LogUniform(1e-5, 1e-1)
    assert [range_.at(quantile) for quantile in (0, 0.25, 0.5, 0.75)] == [1e-5, 1e-4, 1e-3, 1e-2]
    assert LogUniform(1e-5, 3e-3).at(0.999) <= 3e-3
    assert [Choice(("a", "b", "c")).at(quantile) for quantile in (0, 0.33, 0.34, 0.67, 0.99)] == list("aabcc")


def test_the_first_configuration_is_the_defaults_and_the_others_rest_on_the_seed() -> None:
    space = space_of("gvsl", FINETUNE, 128)
    first, *others = configurations(space, 8, 0)
    assert first == {}
    assert all(configuration.keys() == space.keys() for configuration in others)
    assert configurations(space, 8, 0) == [first, *others]
    assert configurations(space, 8, 1) != [first, *others]
    assert configurations(space, 1, 0) == [{}]


def test_every_part_of_a_range_is_tried_once() -> None:
    range_ = LogUniform(1e-4, 1e-2)
    drawn = sorted(one["rate"] for one in configurations({"rate": range_}, 21, 3)[1:])
    parts = [(range_.low * 100 ** (place / 20), range_.low * 100 ** ((place + 1) / 20)) for place in range(20)]
    # A rounding to two digits may lead out of a part.
    assert all(low * 0.94 < value < high * 1.06 for value, (low, high) in zip(drawn, parts, strict=True))


def test_options_are_drawn_independently_of_each_other() -> None:
    range_ = LogUniform(1e-4, 1e-2)
    drawn = configurations({"one": range_, "other": range_}, 41, 0)[1:]
    correlation = np.corrcoef(*(np.log([configuration[name] for configuration in drawn]) for name in ("one", "other")))
    assert abs(correlation[0, 1]) < 0.5


@pytest.mark.parametrize("method", METHODS.names())
def test_every_row_meets_the_same_rates_and_only_options_that_decide_something(method: str) -> None:
    space, gvsl = space_of(method, FINETUNE, 128), space_of("gvsl", FINETUNE, 128)
    shared = [name for name in space if name in MethodConfig.model_fields]
    assert {"finetune_learning_rate", "finetune_warmup_share", "finetune_weight_decay"} <= set(shared)
    assert ("learning_rate" in space) == (METHODS.load(method).facts.pretrains != "nothing")
    rows = [configurations(one, 8, 0) for one in (space, gvsl)]
    rates = [name for name in shared if name.endswith("learning_rate")]
    assert [[one.get(name) for name in rates] for one in rows[0]] == [
        [one.get(name) for name in rates] for one in rows[1]
    ]


def test_what_a_frozen_backbone_does_not_read_is_not_searched() -> None:
    assert not [name for name in space_of("gvsl", "linear-v1", 128) if name.startswith("finetune_")]
    assert space_of("scratch", "linear-v1", 128) == {}
    assert configurations({}, 8, 0) == [{}]


def test_batches_are_those_that_the_method_and_the_corpus_allow() -> None:
    assert space_of("gvsl", FINETUNE, 128)["batch"] == Choice((4, 8))
    assert "batch" not in space_of("gvsl", FINETUNE, 4), "one batch is no choice"
    assert "batch" not in space_of("simclr", FINETUNE, 128), "its smallest is 8"


def test_every_knob_that_is_searched_accepts_what_is_drawn() -> None:
    for method in METHODS.names():
        for configuration in configurations(space_of(method, FINETUNE, 128), 30, 0):
            METHODS.load(method).Config.model_validate(configuration)
