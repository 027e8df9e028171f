"""The planner makes a record's specification again, whatever decided it, and none where something else was changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.api.settings import load_preset
from ssl_bench.planning.planner import Planner
from ssl_bench.submission.replanning import differences, replanned
from tests.submission.made_up import evaluation, pretraining

TUNED = """
[tuning]
preset = "smoke"
protocol = "linear-v2"
tasks = ["sbm"]
seeds = [1000]
configurations = 2
trials = { gvsl = "0123456789abcdef" }

[methods.gvsl]
batch = 4
learning_rate = 0.0003
"""


@pytest.mark.parametrize("overrides", [[], ["backbone=resenc", "methods.gvsl.batch=6", "pretraining.steps=8"]])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_specification_is_what_its_overrides_make(overrides: list[str], precision: str) -> None:
    planner = Planner(load_preset("smoke", overrides), overrides, precision)
    for record in (
        pretraining(planner.pretraining("gvsl", 1)),
        evaluation(planner.evaluation("gvsl", "sbm", "finetune-v2", 1, reset="decoder")),
        evaluation(planner.evaluation("scratch", "ccc", "linear-v2", 2)),
    ):
        again = replanned(record)
        assert again is not None
        assert differences(record.spec, again.spec) == []
        assert again.setting == record.setting


def test_options_that_were_tuned_are_taken_as_the_record_says_them(tmp_path: Path) -> None:
    (tmp_path / "tuned.toml").write_text(TUNED, "utf-8")
    preset = load_preset("smoke", tuned=tmp_path / "tuned.toml")
    record = evaluation(Planner(preset, [], "float32").evaluation("gvsl", "sbm", "linear-v2", 0))
    assert record.setting.tuned_on is not None
    assert record.spec.backbone.options != {}
    again = replanned(record)
    assert again is not None
    assert differences(record.spec, again.spec) == []
    untuned = record.model_copy(update={"setting": record.setting.model_copy(update={"tuned_on": None})})
    again = replanned(untuned)
    assert again is not None
    assert any(found.startswith("backbone.batch is 4 instead of 2") for found in differences(record.spec, again.spec))


def test_a_setting_that_no_preset_makes_is_none() -> None:
    record = evaluation(Planner(load_preset("smoke"), [], "float32").evaluation("scratch", "sbm", "linear-v2", 0))
    other = record.model_copy(update={"setting": record.setting.model_copy(update={"digest": "0" * 8})})
    assert replanned(other) is None
