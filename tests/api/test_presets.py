"""The presets hold what docs/paper.md and docs/methods.md promise of them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest

from ssl_bench.api.registry import METHODS, PROTOCOLS
from ssl_bench.api.settings import load_preset, preset_names, validated

CONSTANT = {"name": "adam", "learning_rate": 1e-4, "schedule": "constant", "warmup_steps": 0, "gradient_clip": 0.0}


def at(preset: str, path: str) -> Any:
    value: Any = load_preset(preset).model_dump(mode="json")
    for part in path.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ranked", True),
        ("width", 32),
        ("crop", 128),
        ("overlap", 0.5),
        ("precision", "auto"),
        ("cohort.corpus", 302),
        ("pretraining.crop", 128),
        ("pretraining.batch", 2),
        ("pretraining.steps", 200_000),
        ("pretraining.optimiser", CONSTANT | {"weight_decay": 0.0}),
        *[
            (f"protocols.{protocol}.{name}", value)
            for protocol in ("linear-v1", "finetune-v1")
            for name, value in {
                "steps": 40_000,
                "batch": {"segmentation": 1, "classification": 1},
                "validate_every": 200,
                "optimiser": CONSTANT,
            }.items()
        ],
        ("methods", {"deepcluster": {"clusters": 50, "period": 76}}),
    ],
)
def test_paper_has_the_papers_settings(path: str, value: object) -> None:
    assert at("paper", path) == value


@pytest.mark.parametrize(
    ("path", "holds", "value"),
    [
        ("ranked", operator.eq, True),
        ("cohort.segmentation.test", operator.ge, 24),
        ("cohort.classification.test", operator.ge, 40),
        ("width", operator.ge, 16),
        ("pretraining.steps", operator.ge, 400),
    ],
)
def test_small_is_large_enough_to_be_a_reference(path: str, holds: Callable[[Any, Any], bool], value: object) -> None:
    assert holds(at("small", path), value)


@pytest.mark.parametrize("name", preset_names())
def test_methods_and_protocols_take_what_a_preset_says_of_them(name: str) -> None:
    preset = load_preset(name)
    for method, options in preset.methods.items():
        validated(METHODS.load(method).Config, options, f"methods.{method}")
    for protocol in PROTOCOLS.names():
        validated(PROTOCOLS.load(protocol).Settings, preset.protocols.get(protocol, {}), f"protocols.{protocol}")


@pytest.mark.parametrize("name", preset_names())
def test_a_search_costs_at_most_twice_the_steps_of_the_first_version(name: str) -> None:
    """Of the probe, whose first version trains three times, at most all of those."""
    if name == "smoke":
        return
    for bare, times in (("linear", 2), ("finetune", 2), ("probe", 3)):
        first, second = (at(name, f"protocols.{bare}-v{version}.steps") for version in (1, 2))
        assert second <= times * first


def test_only_paper_changes_a_methods_options() -> None:
    assert [name for name in preset_names() if load_preset(name).methods] == ["paper"]


def test_deepcluster_clusters_once_an_epoch_of_its_windows_at_the_papers_size() -> None:
    preset = load_preset("paper")
    config = METHODS.load("deepcluster").Config.model_validate(preset.methods["deepcluster"])
    windows = preset.cohort.corpus * config.model_dump()["windows_per_volume"]
    batch = METHODS.load("deepcluster").facts.smallest_batch
    assert config.model_dump()["period"] == -(-windows // batch)


def test_null_is_said_as_it_is_meant() -> None:
    assert load_preset("smoke", ["data.corpus.spacing_mm=null"]).data == {"corpus": {"spacing_mm": None}}
    assert load_preset("smoke", ['data.corpus.spacing_mm="null"']).data == {"corpus": {"spacing_mm": "null"}}
