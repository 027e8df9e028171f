"""Planning: what is in a key, what is not, and what planning refuses."""

from __future__ import annotations

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
        planner("cohort.segmentation.test=3").evaluation("gvsl", "shc", "linear", 0).key,
        Planner(load_preset("smoke"), [], "bf16").evaluation("gvsl", "shc", "linear", 0).key,
    ]
    assert len(set(keys)) == len(keys)


def test_a_bare_protocol_name_is_resolved_before_hashing() -> None:
    assert (
        planner().evaluation("gvsl", "shc", "linear", 0).key == planner().evaluation("gvsl", "shc", "linear-v1", 0).key
    )


def test_naming_a_default_option_does_not_change_the_key() -> None:
    explicit = planner("methods.gvsl.direction=b_to_a").evaluation("gvsl", "shc", "linear", 0)
    assert explicit.key == planner().evaluation("gvsl", "shc", "linear", 0).key


def test_scratch_does_not_depend_on_how_others_pretrain() -> None:
    longer = planner("pretraining.steps=99").evaluation("scratch", "shc", "linear", 0)
    assert longer.key == planner().evaluation("scratch", "shc", "linear", 0).key
    assert longer.pretraining is None


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
        ("protocols.liner.steps=3", r"protocols\.liner: unknown protocol; known: finetune, linear"),
        ("protocols.linear.steps=0", r"protocols\.linear: steps"),
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
    with pytest.raises(UserError, match="unknown preset 'tiny'; known: paper, quick, small, smoke"):
        load_preset("tiny")


def test_a_changed_copy_of_a_science_has_a_key_of_its_own(planner: Planner) -> None:
    spec = planner.evaluation("scratch", "shc", "linear", 0).evaluation
    assert spec.key == spec.model_copy().key
    assert spec.key != spec.model_copy(update={"seed": 1}).key
