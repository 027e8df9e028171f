"""Cells from end to end at the smoke preset, on the embedded anatomies."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ssl_bench.api.cases import Case
from ssl_bench.api.registry import METHODS, TASKS
from ssl_bench.api.settings import load_preset
from ssl_bench.executors.cells import run_cell as run_cell_module
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.executors.inline import run_cells
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import EvaluationRecord, PretrainingRecord
from ssl_bench.store.store import Store
from ssl_bench.training import pretraining
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime
from ssl_bench.training.scoring import NeverPredicted

SILENT = Progress(shown=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def evaluations(records: list[object]) -> list[EvaluationRecord]:
    assert all(isinstance(record, EvaluationRecord) and record.status == "ok" for record in records), records
    return records  # type: ignore[return-value]


@pytest.mark.parametrize("task", TASKS.names())
def test_every_task_runs_under_every_protocol(task: str, store: Store, planner: Planner, runtime: Runtime) -> None:
    cells = [planner.evaluation("scratch", task, protocol, 0) for protocol in ("linear", "finetune")]
    for record in evaluations(run_cells(cells, store, runtime, SILENT)):  # type: ignore[arg-type]
        facts = TASKS.load(task).facts
        assert record.data == "semi-real (1 anatomy)"
        assert record.metric == facts.metric
        assert record.score is not None
        assert 0 <= record.score <= 1
        assert len(record.cases) == record.spec.data.counts.test
        for case in record.cases:
            if facts.kind == "segmentation":
                assert case["dsc_per_class"].keys() == set(facts.classes)
                assert case["hd95_mm_per_class"].keys() == case["surface_dice_per_class"].keys() == set(facts.classes)
                assert ("centreline_dice" in case) == facts.centreline
            else:
                assert 0 < case["probability"] < 1
                assert case["label"] in (0, 1)
        assert record.learning_rate is not None
        assert isinstance(record.learning_rate_interior, bool)
        assert 3 <= record.steps_made <= 10, "the budget of the preset"
        assert record.never_predicted is not None
        assert set(record.never_predicted) <= set(facts.classes)
        assert record.provenance["versions"]["torch"] == metadata.version("torch")
        assert record.cost["wall_seconds"] > 0
        assert record.health.keys() == {"feature_std", "effective_rank", "volumes"}


@pytest.mark.parametrize("protocol", ["linear-v1", "finetune-v1"])
def test_the_first_versions_train_for_all_steps(
    protocol: str, store: Store, planner: Planner, runtime: Runtime
) -> None:
    cell = planner.evaluation("scratch", "shc", protocol, 0)
    (record,) = evaluations(run_cells([cell], store, runtime, SILENT))  # type: ignore[arg-type]
    assert [look["step"] for look in record.validation_curve] == [2, 4]
    assert record.converged == (record.best_step == 2), "4 lies in the last tenth of 4 steps"
    assert (record.steps_made, record.learning_rate, record.learning_rate_interior) == (4, None, None)


def test_a_training_that_validation_ended_says_so_and_how_long_it_was(store: Store, runtime: Runtime) -> None:
    overrides = ("protocols.linear.steps=300", "protocols.linear.pilot=0.01", "protocols.linear.patience=1")
    cell = Planner(load_preset("smoke", overrides), overrides, "float32").evaluation("scratch", "ccc", "linear", 0)
    (record,) = evaluations(run_cells([cell], store, runtime, SILENT))  # type: ignore[arg-type]
    steps = [look["step"] for look in record.validation_curve]
    assert record.converged
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) + 2 * 3 <= record.steps_made <= len(steps) + 4 * 3, "two to four pilots of three steps besides"
    assert record.steps_made < 300


def test_structures_that_are_never_predicted_are_counted_where_the_truth_holds_them() -> None:
    facts = TASKS.load("shc").facts
    seen = NeverPredicted(facts)
    for truth, predicted in (([0, 1, 2], [0, 1, 1]), ([0, 3, 4], [0, 4, 5])):
        label = np.array(truth, np.uint16).reshape(1, 1, 3)
        seen.see(Case("one", label.astype(np.float32), label, (1.0, 1.0, 1.0)), torch.tensor(predicted).view(1, 1, 3))
    assert seen.names() == [facts.classes[1], facts.classes[2]]


def test_a_pretraining_is_evaluated_as_often_as_asked_and_after_each_of_its_last_twenty_steps(
    store: Store, runtime: Runtime
) -> None:
    overrides = ("pretraining.steps=24", "pretraining.watch_every=2")
    cell = Planner(load_preset("smoke", overrides), overrides, "float32").pretraining("denoising", 0)
    record = run_cell(cell, store, runtime, SILENT)
    assert isinstance(record, PretrainingRecord)
    before, last = range(0, 24, 2), range(5, 25)
    assert [point["step"] for point in record.held_out_curve] == sorted([*before, *last])


@pytest.mark.parametrize("method", METHODS.names())
def test_every_method_runs(method: str, store: Store, planner: Planner, runtime: Runtime) -> None:
    cell = planner.evaluation(method, "shc", "linear", 0)
    (record,) = evaluations(run_cells([cell], store, runtime, SILENT))  # type: ignore[arg-type]
    facts = METHODS.load(method).facts
    assert record.paradigm == facts.paradigm
    assert record.modules is not None
    expected = {"nothing": (0, "random, frozen"), "encoder": (72, "random, frozen")}
    matched, decoder = expected.get(facts.pretrains, (72, "pre-trained, frozen"))
    assert (record.modules.tensors_matched, record.modules.decoder) == (matched, decoder)
    assert record.scene == ("none" if method == "scratch" else "inner")
    if method != "scratch":
        assert cell.pretraining is not None
        pretrained = store.record(cell.pretraining)
        assert isinstance(pretrained, PretrainingRecord)
        assert len(pretrained.loss_curve) == 4
        assert pretrained.volumes_seen == record.volumes_seen_in_pretraining > 0
        assert pretrained.health["effective_rank"] >= 1
        assert ("place_1_cluster_1" in pretrained.health) == (method == "deepcluster")


def test_the_same_cell_twice_gives_the_same_bits(tmp_path: Path, planner: Planner, runtime: Runtime) -> None:
    cells = [planner.evaluation("gvsl", task, "finetune", 0) for task in ("shc", "ccc")]
    first, second = (
        evaluations(run_cells(cells, Store(tmp_path / name), runtime, SILENT))  # type: ignore[arg-type]
        for name in ("one", "two")
    )
    for one, two in zip(first, second, strict=True):
        assert one.cases == two.cases
        assert one.validation_curve == two.validation_curve
    weights = [load_file(Store(tmp_path / name).backbone_path(cells[0].pretraining.key)) for name in ("one", "two")]  # type: ignore[union-attr]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_case_is_predicted_once_for_each_look_at_it(
    store: Store, planner: Planner, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept examples are of the predictions that were scored."""
    from ssl_bench.training import evaluation

    predicted: list[object] = []
    predict = evaluation.predict
    monkeypatch.setattr(evaluation, "predict", lambda *given: predicted.append(given) or predict(*given))
    cell = planner.evaluation("scratch", "shc", "linear-v1", 0)
    (record,) = evaluations(run_cells([cell], store, runtime, SILENT))  # type: ignore[arg-type]
    counts = record.spec.data.counts
    assert store.examples_path(cell.key).exists()
    assert len(predicted) == len(record.validation_curve) * counts.validation + counts.test


def test_another_seed_gives_other_scores(store: Store, planner: Planner, runtime: Runtime) -> None:
    cells = [planner.evaluation("scratch", "ccc", "finetune", seed) for seed in (0, 1)]
    one, two = evaluations(run_cells(cells, store, runtime, SILENT))  # type: ignore[arg-type]
    assert [case["probability"] for case in one.cases] != [case["probability"] for case in two.cases]
    assert one.cases_digest == two.cases_digest


def test_a_linear_cell_leaves_the_backbone_as_it_was(
    store: Store, planner: Planner, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl_bench.training import evaluation

    built: list[torch.nn.Module] = []
    build = evaluation.build_backbone
    monkeypatch.setattr(evaluation, "build_backbone", lambda *a: built.append(build(*a)) or built[-1])
    for protocol, moved in (("linear", False), ("finetune", True)):
        cell = planner.evaluation("scratch", "shc", protocol, 0)
        run_cells([cell], store, runtime, SILENT)
        fresh = pretraining.build_backbone(8, 0).state_dict()
        changed = any(not torch.equal(fresh[name], value) for name, value in built[-1].state_dict().items())
        assert changed == moved


def test_a_done_cell_returns_without_work(
    store: Store, planner: Planner, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = planner.evaluation("simsiam", "shc", "linear", 0)
    (first,) = run_cells([cell], store, runtime, SILENT)
    monkeypatch.setattr(run_cell_module, "_run", lambda *_: pytest.fail("ran again"))
    assert run_cells([cell], store, runtime, SILENT) == [first]
    assert run_cell(cell, store, runtime, SILENT) == first


def test_rerun_policies(store: Store, planner: Planner, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    done = planner.evaluation("scratch", "shc", "linear", 0)
    failed = planner.evaluation("scratch", "shc", "finetune", 0)
    missing = planner.evaluation("scratch", "ccc", "linear", 0)
    run = run_cell_module._run
    monkeypatch.setattr(run_cell_module, "_run", lambda cell, *rest: 1 / 0 if cell == failed else run(cell, *rest))
    run_cells([done, failed], store, runtime, SILENT)
    ran: list[str] = []
    monkeypatch.setattr(run_cell_module, "_run", lambda cell, *rest: ran.append(cell.key) or run(cell, *rest))
    for policy, expected in (("failed", [failed]), ("missing", [missing]), ("all", [done, failed, missing])):
        ran.clear()
        run_cells([done, failed, missing], store, runtime, SILENT, policy)  # type: ignore[arg-type]
        assert ran == [cell.key for cell in expected], policy


def test_a_cell_that_fails_leaves_the_reason_and_the_others_go_on(
    store: Store, planner: Planner, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl_bench.methods.simsiam import SimSiam

    tries: list[object] = []

    def explode(*_: object) -> None:
        tries.append(_)
        raise RuntimeError("the pretext\nexploded")

    monkeypatch.setattr(SimSiam, "training_step", explode)
    names = (("simsiam", "linear"), ("scratch", "linear"), ("simsiam", "finetune"))
    cells = [planner.evaluation(method, "shc", protocol, 0) for method, protocol in names]
    broken, fine, also_broken = run_cells(cells, store, runtime, SILENT)
    assert also_broken.status == "failed"
    assert len(tries) == 1, "a failed pre-training was tried again by an evaluation that rests on it"
    assert (broken.status, fine.status) == ("failed", "ok")
    assert broken.reason is not None
    assert "pre-training" in broken.reason
    assert "exploded" in broken.reason


def test_a_loss_that_is_not_finite_fails_the_pretraining(
    store: Store, planner: Planner, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl_bench.methods.simsiam import SimSiam

    step = SimSiam.training_step
    monkeypatch.setattr(SimSiam, "training_step", lambda *a: {"loss": step(*a)["loss"] * float("nan")})
    cell = planner.pretraining("simsiam", 0)
    record = run_cell(cell, store, runtime, SILENT)
    assert record.status == "failed"
    assert record.reason == "FloatingPointError: pre-training loss is nan at step 0"
    assert not store.backbone_path(cell.key).exists()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_pretraining_runs_in_the_precision_it_records(
    precision: str, store: Store, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fabric autocasts `forward` alone: a training step outside it would silently run in float32."""
    from ssl_bench.methods.simsiam import SimSiam

    seen: set[bool] = set()
    step = SimSiam.training_step
    monkeypatch.setattr(SimSiam, "training_step", lambda *a: seen.add(torch.is_autocast_enabled("cpu")) or step(*a))
    cell = Planner(load_preset("smoke"), [], precision).pretraining("simsiam", 0)  # type: ignore[arg-type]
    assert run_cell(cell, store, runtime, SILENT).provenance["precision"] == precision
    assert seen == {precision == "bf16"}


def test_watching_held_out_volumes_changes_nothing(tmp_path: Path, runtime: Runtime) -> None:
    """Heads with batch statistics see the held-out volumes too; what they remember must not."""
    curves = []
    for every in (1, 4):
        override = f"pretraining.watch_every={every}"
        cell = Planner(load_preset("smoke", [override]), [override], "float32").pretraining("simsiam", 0)
        record = run_cell(cell, Store(tmp_path / str(every)), runtime, SILENT)
        assert isinstance(record, PretrainingRecord)
        curves.append(record.loss_curve)
    assert curves[0] == curves[1]
