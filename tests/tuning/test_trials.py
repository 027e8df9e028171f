"""Trials as cells: alike for every row, shorter on the first rungs, and without a look at a test case."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ssl_bench.api.cases import Case
from ssl_bench.api.settings import load_preset
from ssl_bench.cli import app
from ssl_bench.data.generated import Generated
from ssl_bench.errors import UserError
from ssl_bench.executors import inline
from ssl_bench.planning.planner import Planner
from ssl_bench.report.results import read_results
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from ssl_bench.training import evaluation
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime
from ssl_bench.tuning.halving import Trial
from ssl_bench.tuning.trials import Search, Trials, shortened

SHORT = ("pretraining.steps=2", "protocols.finetune-v1.steps=2", "protocols.finetune-v1.validate_every=1")


def search(**changes: Any) -> Search:
    given = {"methods": ("scratch", "gvsl"), "tasks": ("shc", "sbm"), "protocol": "finetune-v1", "seeds": (1000, 1001)}
    return Search.model_validate({**given, "configurations": 8, **changes})


def trials(folder: Path, preset: str = "small", **changes: Any) -> Trials:
    return Trials(search(**changes), Planner(load_preset(preset), [], "float32"), Store(folder))


def test_a_share_of_the_steps_shortens_warm_up_and_validation_alike() -> None:
    preset = load_preset("small", ["protocols.finetune-v1.steps=301"])
    assert shortened(preset, "finetune-v1", Fraction(1, 4)) == [
        "pretraining.steps=100", "protocols.finetune-v1.steps=76", "protocols.finetune-v1.validate_every=13",
        "pretraining.optimiser.warmup_steps=5", "protocols.finetune-v1.optimiser.warmup_steps=2",
    ]  # fmt: skip
    assert shortened(preset, "finetune-v1", Fraction(1)) == []
    with pytest.raises(UserError, match=r"--protocol other-v3: preset small has no steps for it"):
        shortened(preset, "other-v3", Fraction(1, 2))


def test_every_row_gets_the_same_trials(tmp_path: Path) -> None:
    found = trials(tmp_path)
    assert found.rungs("scratch") == found.rungs("gvsl")
    for method in ("scratch", "gvsl"):
        assert len(found.configurations(method)) == 8
        for number, rung in ((0, 0), (3, 1), (7, 2)):
            cells = found.cells(method, Trial(number, rung))
            assert [(cell.evaluation.task, cell.spec.seed) for cell in cells] == [
                ("shc", 1000), ("shc", 1001), ("sbm", 1000), ("sbm", 1001),
            ]  # fmt: skip
            assert {cell.evaluation.scored_on for cell in cells} == {"validation"}
            assert {cell.evaluation.protocol_settings["steps"] for cell in cells} == {(75, 150, 300)[rung]}


def test_a_configuration_reaches_pretraining_and_protocol(tmp_path: Path) -> None:
    found = trials(tmp_path)
    options = found.configurations("gvsl")[2]
    spec = found.cells("gvsl", Trial(2, 0))[0].evaluation
    assert spec.backbone.options == options
    pretraining = found.cells("gvsl", Trial(2, 0))[0].pretraining
    assert pretraining is not None
    optimiser, finetune = pretraining.pretraining_spec.optimiser, spec.protocol_settings["optimiser"]
    assert optimiser is not None
    assert (optimiser.learning_rate, optimiser.weight_decay) == (options["learning_rate"], options["weight_decay"])
    assert optimiser.warmup_steps == round(100 * options["warmup_share"])
    assert finetune["learning_rate"] == options["finetune_learning_rate"]
    assert pretraining.pretraining_spec.batch == options["batch"]
    whole = found.cells("gvsl", Trial(0, 2))[0]
    plain = Planner(load_preset("small"), [], "float32").evaluation("gvsl", "shc", "finetune", 1000)
    assert whole.key != plain.key, "a trial is no cell of the benchmark"
    assert whole.pretraining == plain.pretraining, "but its defaults with all steps are the benchmark's"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"methods": ("scrach",)}, "did you mean 'scratch'"),
        ({"tasks": ("shd",)}, "unknown task 'shd'"),
        ({"tasks": ("shc", "ccc")}, "no mean of AUC and DSC means anything"),
        ({"protocol": "finetun"}, "unknown protocol 'finetun'"),
        ({"seeds": (3, 1000)}, "compare methods by seed 3"),
    ],
)
def test_what_a_search_refuses(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        search(**changes).check([0, 1, 2, 3])
    assert "\n" not in str(error.value)


def test_a_trial_never_touches_a_test_case(tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    cases: Callable[..., list[Case]] = Generated._cases

    def without_tests(self: Any, split: str, count: int) -> list[Case]:
        if split == "test":
            raise LookupError("a test case was read")
        return cases(self, split, count)

    monkeypatch.setattr(Generated, "_cases", without_tests)
    planner, store = Planner(load_preset("smoke", SHORT), SHORT, "float32"), Store(tmp_path)
    trial = planner.evaluation("scratch", "shc", "finetune", 1000, scored_on="validation")
    (record,) = inline.run_cells([trial], store, runtime, Progress(shown=False))
    assert isinstance(record, EvaluationRecord)
    assert (record.status, record.cases, record.spec.scored_on) == ("ok", [], "validation")
    assert record.score == max(point["score"] for point in record.validation_curve)
    assert not store.examples_path(trial.key).exists()
    (tested,) = inline.run_cells(
        [planner.evaluation("scratch", "shc", "finetune", 1000)], store, runtime, Progress(shown=False)
    )
    assert tested.reason == "LookupError: a test case was read"
    assert read_results(store).cells.empty, "no trial enters a report"


def tune(folder: Path, *more: str) -> Any:
    settings = [option for one in SHORT for option in ("--set", one)]
    return CliRunner().invoke(
        app,
        [
            *("tune", "--methods", "scratch,denoising", "--tasks", "shc", "--preset", "smoke", "--seeds", "1000"),
            *("--configurations", "2", "--results", str(folder), "--quiet", *settings, *more),
        ],
    )  # fmt: skip


def test_from_the_command_to_frozen_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tuned.toml"
    planned = tune(tmp_path / "results", "--dry-run")
    assert "2 rows, 4 trials of 1 evaluations each" in planned.stdout
    assert not (tmp_path / "results").exists()

    first = tune(tmp_path / "results", "--freeze", str(file), "--json")
    assert first.exit_code == 0, first.output
    rows = {row["method"]: row for row in json.loads(first.stdout)}
    assert list(rows) == ["scratch", "denoising"]
    for row in rows.values():
        assert row["score"] >= row["default_score"]
        assert (row["trials"], row["exhausted"]) == (2, False)
        assert row["device_seconds"] > 0
    assert not (tmp_path / "results" / "records").exists(), "trials are kept apart from what is reported"

    monkeypatch.setattr(inline, "run_cell", lambda *_, **__: pytest.fail("a trial ran again"))
    again = tune(tmp_path / "results", "--json")
    assert json.loads(again.stdout) == json.loads(first.stdout)

    tuned = load_preset("smoke", SHORT, file)
    assert tuned.methods == {method: row["options"] for method, row in rows.items()}
    assert tuned.tuning is not None
    assert tuned.tuning.trials == {method: row["digest"] for method, row in rows.items()}
    assert set(tuned.tuning.overrides) == set(SHORT)
    cell = Planner(tuned, SHORT, "float32").evaluation("scratch", "shc", "finetune", 0)
    assert cell.setting.tuned_on is not None
    assert (cell.setting.tuned_on.tasks, cell.setting.tuned_on.seeds) == (("shc",), (1000,))


def test_a_budget_ends_a_row_and_the_table_says_so(tmp_path: Path) -> None:
    found = tune(tmp_path, "--device-seconds", "1", "--methods", "denoising")
    assert found.exit_code == 0, found.output
    assert "(used up)" in found.stdout
    assert found.stdout.splitlines()[1].split()[:1] == ["denoising"]


def test_a_failed_trial_stays_failed_until_it_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise FloatingPointError("the loss is not finite")

    evaluate = evaluation.evaluate
    monkeypatch.setattr(evaluation, "evaluate", failing)
    lost = tune(tmp_path, "--methods", "scratch")
    assert lost.exit_code == 1
    assert "no trial succeeded" in lost.stdout
    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    assert "no trial succeeded" in tune(tmp_path, "--methods", "scratch").stdout
    assert "no trial succeeded" not in tune(tmp_path, "--methods", "scratch", "--retry-failed").stdout


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (("--configurations", "0"), "greater than or equal to 1"),
        (("--device-seconds", "0"), "greater than or equal to 1"),
        (("--seeds", "many"), "expected numbers"),
        (("--methods", "gsvl"), "did you mean 'gvsl'"),
        (("--freeze", "/nowhere/tuned.toml"), "--freeze /nowhere/tuned.toml: its folder does not exist"),
    ],
)
def test_wrong_options_are_one_line(option: tuple[str, ...], complaint: str, tmp_path: Path) -> None:
    found = tune(tmp_path, *option)
    assert found.exit_code != 0
    assert complaint in (found.output + str(found.exception))
