"""Planning: what is in a key, what is not, and what planning refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.api.settings import Settings, load_preset
from ssl_bench.errors import UserError
from ssl_bench.planning.graph import with_pretrainings
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.specification import PretrainingSpec


def planner(*overrides: str, preset: str = "smoke") -> Planner:
    return Planner(load_preset(preset, overrides), overrides, "float32")


def test_every_scientific_choice_changes_the_key() -> None:
    keys = [
        planner().evaluation("gvsl", "shc", "linear", 0).key,
        planner().evaluation("gvsl", "shc", "linear", 1).key,
        planner().evaluation("gvsl", "sbm", "linear", 0).key,
        planner().evaluation("gvsl", "shc", "finetune", 0).key,
        planner().evaluation("simsiam", "shc", "linear", 0).key,
        planner("pretraining.steps=5").evaluation("gvsl", "shc", "linear", 0).key,
        planner("protocols.linear.steps=5").evaluation("gvsl", "shc", "linear", 0).key,
        planner("methods.gvsl.direction=a_to_b").evaluation("gvsl", "shc", "linear", 0).key,
        planner("methods.gvsl.learning_rate=3e-4").evaluation("gvsl", "shc", "linear", 0).key,
        planner("methods.gvsl.weight_decay=0.1").evaluation("gvsl", "shc", "linear", 0).key,
        planner("methods.gvsl.finetune_learning_rate=3e-4").evaluation("gvsl", "shc", "finetune", 0).key,
        planner("cohort.segmentation.test=3").evaluation("gvsl", "shc", "linear", 0).key,
        Planner(load_preset("smoke"), [], "bf16").evaluation("gvsl", "shc", "linear", 0).key,
    ]
    assert len(set(keys)) == len(keys)


def test_a_bare_protocol_name_is_resolved_before_hashing() -> None:
    assert (
        planner().evaluation("gvsl", "shc", "linear", 0).key == planner().evaluation("gvsl", "shc", "linear-v2", 0).key
    )


def test_an_override_of_a_bare_protocol_is_one_of_its_newest_version() -> None:
    def steps(override: str) -> list[int]:
        cells = [planner(override).evaluation("scratch", "shc", f"linear-v{version}", 0) for version in (1, 2)]
        return [cell.evaluation.protocol_settings["steps"] for cell in cells]

    assert steps("protocols.linear.steps=70") == [4, 70] == steps("protocols.linear-v2.steps=70")
    assert steps("protocols.linear-v1.steps=70") == [70, 10]


def test_naming_a_default_option_does_not_change_the_key() -> None:
    explicit = planner("methods.gvsl.direction=b_to_a").evaluation("gvsl", "shc", "linear", 0)
    assert explicit.key == planner().evaluation("gvsl", "shc", "linear", 0).key


def test_scratch_does_not_depend_on_how_others_pretrain() -> None:
    longer = planner("pretraining.steps=99").evaluation("scratch", "shc", "linear", 0)
    assert longer.key == planner().evaluation("scratch", "shc", "linear", 0).key
    assert longer.pretraining is None


def test_a_stem_is_no_part_of_a_cell_whose_channels_are_those_of_its_pretraining() -> None:
    stemmed = Planner(load_preset("smoke"), [], "float32", stem="copy")
    for method in ("gvsl", "scratch"):
        assert stemmed.evaluation(method, "shc", "linear", 0) == planner().evaluation(method, "shc", "linear", 0)


def test_one_pretraining_serves_all_tasks_and_protocols() -> None:
    cells = [
        planner().evaluation(method, task, protocol, 0)
        for method in ("scratch", "gvsl", "simclr")
        for task in ("shc", "ccc")
        for protocol in ("linear", "finetune")
    ]
    graph = with_pretrainings(cells)
    assert [cell.kind for cell in graph].count("pretraining") == 2
    assert len(graph) == 14
    for place, cell in enumerate(graph):
        if cell.pretraining is not None:
            assert cell.pretraining.key in {before.key for before in graph[:place]}


def test_a_batch_too_small_for_a_method_is_raised() -> None:
    pretraining = planner().pretraining("simclr", 0).spec
    assert isinstance(pretraining, PretrainingSpec)
    assert pretraining.batch == 8
    assert planner().pretraining("gvsl", 0).spec.batch == 2  # type: ignore[union-attr]


def test_a_field_added_later_with_a_neutral_default_keeps_old_keys() -> None:
    spec = planner().pretraining("gvsl", 0).spec

    class Later(PretrainingSpec):
        brand_new: bool = False

    Later.__name__ = "PretrainingSpec"
    assert Later(**spec.model_dump()).key == spec.key
    assert Later(**spec.model_dump(), brand_new=True).key != spec.key


def test_a_plan_reads_back_to_the_same_cell() -> None:
    for cell in (planner().evaluation("gvsl", "shc", "linear", 0), planner().pretraining("gvsl", 3)):
        back = Cell.model_validate_json(cell.model_dump_json())
        assert back == cell
        assert back.key == cell.key


def test_settings_refuse_unknown_fields() -> None:
    with pytest.raises(ValueError):
        Settings.model_validate({"x": 1})


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("pretraining.stepz=5", r"preset smoke: pretraining\.stepz: extra inputs are not permitted"),
        ("pretraining.steps=-5", r"pretraining\.steps: input should be greater than 0"),
        ("pretraining.steps=many", r"pretraining\.steps: input should be a valid integer"),
        ("nonsense", "expected a.b=value"),
        ("width.x=1", "'width' holds a value"),
        ("methods.simclr.tempo=1", r"methods\.simclr: tempo: extra inputs.*known: learning_rate.*temperature"),
        ("methods.gsvl.direction=a_to_b", "did you mean 'gvsl'"),
        ("methods.gvsl.direction=x", r"methods\.gvsl: direction: input should be 'b_to_a' or 'a_to_b'"),
        ("protocols.liner.steps=3", r"protocols\.liner: unknown protocol; known: finetune-v1, finetune-v2, knn-v1"),
        ("protocols.linear.steps=0", r"protocols\.linear-v2: steps"),
        ("protocols.linear.pilot=0.3", "the pilots of all learning rates need more than the budget"),
        (
            "methods.scratch.learning_rate=1",
            r"methods\.scratch: learning_rate: is of pre-training, which it has none of",
        ),
        ("methods.simclr.batch=4", r"methods\.simclr: batch: 4 is no batch of this method; use at least 8$"),
        (
            "methods.gvsl.batch=3",
            r"methods\.gvsl: batch: 3 is no batch .*; use at least 2, a multiple of 2",
        ),
        ("methods.gvsl.warmup_share=1", r"methods\.gvsl: warmup_share: input should be less than 1"),
        ("cohort.corpus=3", "needs 8 volumes a step and the corpus has 3"),
    ],
)
def test_a_wrong_override_is_one_line_that_names_it(override: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        planner(override).evaluation("simclr", "shc", "linear", 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("option", ["methods.gvsl.direction=a_to_b", 'methods.gvsl={direction="a_to_b"}'])
@pytest.mark.parametrize("method", ["gvsl", "simclr"])
def test_the_options_of_a_method_are_in_the_setting_of_its_own_cells_alone(method: str, option: str) -> None:
    plan = planner(option, "width=8")
    for cell in (plan.evaluation(method, "shc", "linear", 0), plan.pretraining(method, 0)):
        assert cell.setting.overrides == ([option, "width=8"] if method == "gvsl" else ["width=8"])
    plain = planner("width=8").evaluation(method, "shc", "linear", 0)
    assert plain.setting.digest == cell.setting.digest
    assert (plain.key == plan.evaluation(method, "shc", "linear", 0).key) is (method != "gvsl")


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown preset 'tiny'; known: paper, quick, real, small, smoke"):
        load_preset("tiny")


def test_a_changed_copy_of_a_science_has_a_key_of_its_own(planner: Planner) -> None:
    spec = planner.evaluation("scratch", "shc", "linear", 0).evaluation
    assert spec.key == spec.model_copy().key
    assert spec.key != spec.model_copy(update={"seed": 1}).key


ALL_OPTIONS = ("learning_rate=2e-4", "warmup_share=0.5", "weight_decay=0.1", "optimiser=adamw", "batch=6",
               "finetune_learning_rate=5e-3", "finetune_warmup_share=0.75", "finetune_weight_decay=0.01")  # fmt: skip


def test_the_options_of_every_method_decide_how_it_is_trained() -> None:
    changed = planner(*(f"methods.gvsl.{option}" for option in ALL_OPTIONS))
    pretraining = changed.pretraining("gvsl", 0).pretraining_spec
    common = planner().preset.pretraining.optimiser
    assert pretraining.optimiser == common.model_copy(
        update={"name": "adamw", "learning_rate": 2e-4, "warmup_steps": 2, "weight_decay": 0.1}
    )
    assert pretraining.batch == 6
    finetune = changed.evaluation("gvsl", "shc", "finetune", 0).evaluation.protocol_settings["optimiser"]
    assert finetune == {
        "name": "adamw", "learning_rate": 5e-3, "schedule": "constant", "warmup_steps": 8, "gradient_clip": 1.0,
        "weight_decay": 0.01,
    }  # fmt: skip
    linear = changed.evaluation("gvsl", "shc", "linear", 0).evaluation.protocol_settings
    assert linear == planner().evaluation("gvsl", "shc", "linear", 0).evaluation.protocol_settings
    assert changed.pretraining("simclr", 0) == planner().pretraining("simclr", 0)


def test_options_that_say_nothing_leave_keys_settings_and_protocols_as_they_were() -> None:
    """Records of before these options must stay what they are: nothing of them is hashed."""
    silent = planner(*(f"methods.gvsl.{option.partition('=')[0]}=null" for option in ALL_OPTIONS))
    for cell in (silent.evaluation("gvsl", "shc", "finetune", 0), silent.pretraining("gvsl", 0)):
        hashed = cell.spec.model_dump_json(exclude_defaults=True)
        assert not [name for name in ("weight_decay", "scored_on", 'learning_rate":null') if name in hashed]
    assert silent.evaluation("gvsl", "shc", "finetune", 0).key == planner().evaluation("gvsl", "shc", "finetune", 0).key
    digest = planner("pretraining.optimiser.weight_decay=0.0").setting.digest
    assert digest == planner().setting.digest != planner("pretraining.optimiser.weight_decay=0.1").setting.digest


def test_a_trial_is_another_cell_than_the_one_that_meets_the_test_cases() -> None:
    tested, trial = (
        planner().evaluation("gvsl", "shc", "linear-v1", 0, scored_on=scored) for scored in ("test", "validation")
    )  # type: ignore[arg-type]
    assert tested.key != trial.key
    assert trial.title == "gvsl shc linear-v1, seed 0, trial"
    assert tested.pretraining == trial.pretraining


TUNED = """
[tuning]
preset = "smoke"
protocol = "finetune-v1"
tasks = ["sbm", "shc"]
seeds = [1000, 1001]
configurations = 8
trials = { gvsl = "0123456789abcdef", scratch = "fedcba9876543210" }
[methods.gvsl]
learning_rate = 3e-4
"""


def test_a_tuned_row_carries_what_it_was_tuned_on(tmp_path: Path) -> None:
    file = tmp_path / "tuned.toml"
    file.write_text(TUNED)

    def tuned(*overrides: str) -> Planner:
        return Planner(load_preset("smoke", overrides, file), overrides, "float32")

    gvsl = tuned().evaluation("gvsl", "sac", "finetune", 0)
    assert gvsl.setting.tuned_on is not None
    assert gvsl.setting.tuned_on.model_dump() == {
        "overrides": (), "protocol": "finetune-v1", "tasks": ("sbm", "shc"), "seeds": (1000, 1001),
        "configurations": 8, "trials": "0123456789abcdef",
    }  # fmt: skip
    assert gvsl.evaluation.backbone.options == {"learning_rate": 3e-4}
    by_hand = planner("methods.gvsl.learning_rate=3e-4").evaluation("gvsl", "sac", "finetune", 0)
    assert gvsl.key == by_hand.key
    assert gvsl.setting.digest == by_hand.setting.digest
    assert tuned().evaluation("scratch", "sac", "finetune", 0).setting.tuned_on is not None, "its defaults won"
    assert tuned().evaluation("simclr", "sac", "finetune", 0).setting.tuned_on is None
    assert tuned("methods.gvsl.batch=4").pretraining("gvsl", 0).setting.tuned_on is None, "changed by hand"
    with pytest.raises(UserError, match="seed 1001: options of this preset were tuned with it"):
        tuned().evaluation("gvsl", "sac", "finetune", 1001)
    assert tuned().evaluation("gvsl", "sac", "finetune", 1001, scored_on="validation").spec.seed == 1001


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (TUNED.replace("smoke", "small"), "was tuned for the preset small; use --preset with that"),
        ("[tuning", r"does not read \(.*write it with ssl-bench tune --freeze"),
        ("[methods.gvsl]\nbatch = 4", "tuning: field required"),
    ],
)
def test_a_file_of_another_preset_or_none_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "tuned.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=f"--tuned {file}: {complaint}"):
        load_preset("smoke", [], file)
    with pytest.raises(UserError, match=r"missing\.toml: does not read"):
        load_preset("smoke", [], tmp_path / "missing.toml")
