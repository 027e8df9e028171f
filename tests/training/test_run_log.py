"""``--log tensorboard``: the events hold the numbers of the record, and nothing else changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from ssl_bench.cli import app, option_groups
from ssl_bench.cli.option_groups import Execution
from ssl_bench.cli.options import Log
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.executors.slurm import CellJob, SlurmSettings
from ssl_bench.executors.workers.slots import Slot, WorkerProcess
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.store.store import Store
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.progress import Progress
from ssl_bench.training.run_log import RunLog
from ssl_bench.training.runtime import Runtime

SILENT = Progress(shown=False)
WATCHED = Runtime("cpu", 1, checkpoint_seconds=0.0, log="tensorboard")
UNWATCHED = Runtime("cpu", 1)
Points = dict[int, float]


def points(store: Store, cell: Cell) -> dict[str, Points]:
    """What TensorBoard shows of `cell`: every curve by its name."""
    shown = EventAccumulator(str(store.events_path(cell)))
    shown.Reload()
    found = {}
    for tag in shown.Tags()["scalars"]:
        events = shown.Scalars(tag)
        found[tag] = {event.step: event.value for event in events}
        # Two evaluations may fall on one step.
        assert len(found[tag]) == len(events if tag.startswith("training") else {(e.step, e.value) for e in events})
    return found


def curve(curve: list[dict[str, float]], name: str) -> Any:
    return pytest.approx({point["step"]: point[name] for point in curve}, nan_ok=True)


def numbered(values: list[float]) -> Any:
    return pytest.approx(dict(enumerate(values)))


def without_circumstances(record: AnyRecord) -> dict[str, object]:
    assert record.status == "ok", record.reason
    return record.model_dump(mode="json", exclude={"cost", "provenance"})


def test_a_pretraining_shows_losses_their_parts_rates_evaluations_and_collapse(
    planner: Planner, tmp_path: Path
) -> None:
    cell, store = planner.pretraining("rotation", 0), Store(tmp_path)
    record = run_cell(cell, store, WATCHED, SILENT)
    assert isinstance(record, PretrainingRecord)
    shown, steps = points(store, cell), record.spec.steps
    assert shown["training/loss"] == numbered(record.loss_curve)
    for name in ("loss", "accuracy"):
        assert shown[f"held_out/{name}"] == curve(record.held_out_curve, name)
    assert list(shown["training/accuracy"]) == list(range(steps))
    assert all(0 <= accuracy <= 1 for accuracy in shown["training/accuracy"].values())
    rates = shown["training/learning_rate"]
    assert list(rates) == list(range(steps))
    assert record.spec.optimiser is not None
    assert max(rates.values()) == pytest.approx(record.spec.optimiser.learning_rate, rel=0.2)
    assert rates[steps - 1] < max(rates.values())
    for name, value in record.health.items():
        assert shown[f"collapse/{name}"] == pytest.approx({steps: value})


@pytest.mark.parametrize("protocol", ["linear-v1", "probe-v1"])
def test_an_evaluation_shows_losses_rates_validation_and_collapse(
    protocol: str, planner: Planner, tmp_path: Path
) -> None:
    cell, store = planner.evaluation("scratch", "shc", protocol, 0), Store(tmp_path)
    record = run_cell(cell, store, WATCHED, SILENT)
    assert isinstance(record, EvaluationRecord)
    shown, steps = points(store, cell), max(int(point["step"]) for point in record.validation_curve)
    trainings = len(shown["training/loss"]) // steps
    assert trainings == (1 if protocol == "linear-v1" else 3)
    assert list(shown["training/loss"]) == list(range(steps * trainings))
    assert list(shown["training/learning_rate"]) == list(range(steps * trainings))
    # Of several trainings, one follows the other, and the record keeps the one that validates best.
    curves = [
        [{**point, "step": before + point["step"]} for point in record.validation_curve]
        for before in range(0, steps * trainings, steps)
    ]
    assert any(curve(each, "score") == only(each, shown["validation/score"]) for each in curves)
    assert any(curve(each, "loss") == only(each, shown["validation/loss"]) for each in curves)
    assert len(shown["validation/score"]) == trainings * len(record.validation_curve)
    for name, value in record.health.items():
        assert shown[f"collapse/{name}"] == pytest.approx({0: value})


def test_the_pilots_of_a_search_and_what_goes_on_follow_each_other(planner: Planner, tmp_path: Path) -> None:
    cell, store = planner.evaluation("scratch", "ccc", "linear-v2", 0), Store(tmp_path)
    record = run_cell(cell, store, WATCHED, SILENT)
    assert isinstance(record, EvaluationRecord)
    shown, last = points(store, cell), int(record.validation_curve[-1]["step"])
    assert list(shown["training/loss"]) == list(range(record.steps_made))
    assert list(shown["validation/score"]) == list(range(1, record.steps_made + 1)), "this preset validates every step"
    after_pilots = [
        {**point, "step": record.steps_made - last + point["step"]} for point in record.validation_curve[1:]
    ]
    assert curve(after_pilots, "score") == only(after_pilots, shown["validation/score"])


def only(curve: list[dict[str, float]], shown: Points) -> Points:
    return {int(point["step"]): shown[int(point["step"])] for point in curve}


def test_watching_changes_no_bit_and_without_it_nothing_is_opened(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [planner.evaluation("rotation", "shc", protocol, 0) for protocol in ("linear", "finetune")]
    watched, unwatched = Store(tmp_path / "watched"), Store(tmp_path / "unwatched")
    expected = [run_cell(cell, watched, WATCHED, SILENT) for cell in cells]
    monkeypatch.setattr(RunLog, "_opened", lambda self: pytest.fail("something was opened"))
    found = [run_cell(cell, unwatched, UNWATCHED, SILENT) for cell in cells]
    assert [*map(without_circumstances, found)] == [*map(without_circumstances, expected)]
    pretrained = [store.find_record(cells[0].pretraining.key) for store in (watched, unwatched)]  # type: ignore[union-attr]
    assert pretrained[0] is not None
    assert pretrained[1] is not None
    assert without_circumstances(pretrained[0]) == without_circumstances(pretrained[1])
    assert not (unwatched.folder / "logs").exists()


class PulledPlug(BaseException):
    """What a killed process would not even see."""


@pytest.mark.parametrize(
    ("plan", "after"),
    [
        (lambda planner: planner.pretraining("denoising", 0), 2),
        (lambda planner: planner.evaluation("scratch", "shc", "linear-v1", 0), 2),
        (lambda planner: planner.evaluation("scratch", "shc", "probe-v1", 0), 3),
        (lambda planner: planner.evaluation("scratch", "ccc", "linear-v2", 0), 2),
        (lambda planner: planner.evaluation("scratch", "ccc", "linear-v2", 0), 6),
    ],
    ids=["pretraining", "linear-v1", "probe-v1", "linear-v2, pilot", "linear-v2, best rate"],
)
def test_a_resumed_cell_goes_on_at_its_step(
    plan: Callable[[Planner], Cell], after: int, planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the attempt that was killed had gone further than what it had saved."""
    cell, whole, broken = plan(planner), Store(tmp_path / "whole"), Store(tmp_path / "broken")
    run_cell(cell, whole, WATCHED, SILENT)
    save, saved = Attempt._save, []

    def pull(self: Attempt, content: dict[str, object]) -> None:
        if len(saved) == after:
            raise PulledPlug
        save(self, content)
        saved.append(1)

    with monkeypatch.context() as patched:
        patched.setattr(Attempt, "_save", pull)
        with pytest.raises(PulledPlug):
            run_cell(cell, broken, WATCHED, SILENT)
    assert len(points(broken, cell)["training/loss"]) > after
    run_cell(cell, broken, WATCHED, SILENT)
    assert points(broken, cell) == points(whole, cell)
    run_cell(cell, broken, WATCHED, SILENT, anew=True)
    assert points(broken, cell) == points(whole, cell)


def test_a_log_that_cannot_be_written_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with RunLog(tmp_path / "file" / "log") as log:
        log.add("training", {"loss": 1.0}, 0)
        log.add("training", {"loss": 1.0}, 1)
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {tmp_path / 'file' / 'log'}: its numbers are no longer logged: ")
    assert said.count("warning") == 1


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(option_groups, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--log tensorboard: .*pip install 'ssl-bench\[tensorboard\]'"):
        Execution(device="cpu", log=Log.tensorboard).runtime()
    assert Execution(device="cpu").runtime().log == ""


@pytest.mark.parametrize("command", ["run", "matrix", "cell", "pretrain", "evaluate"])
def test_every_command_that_trains_takes_the_option(command: str) -> None:
    assert "--log" in CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout


def test_the_option_travels_to_workers_and_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for runtime, given in ((WATCHED, True), (UNWATCHED, False)):
        worker = WorkerProcess(Slot("one", "cpu", 1, {}), tmp_path, runtime, anew=False)
        assert ("--log tensorboard" in " ".join(worker._arguments)) is given
        # In place of the command line, a program that notes what it is called with.
        (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > called\n')
        (tmp_path / "python").chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        CellJob(tmp_path, runtime, SlurmSettings(gpus=0))("0123456789abcdef")
        called = (tmp_path / "called").read_text().split()
        assert ("--log" in called) is given
        assert "--debug" in called


def test_runtime_alone_decides_so_that_no_key_knows(planner: Planner) -> None:
    assert "tensorboard" not in json.dumps(planner.evaluation("gvsl", "shc", "linear", 0).model_dump(mode="json"))
